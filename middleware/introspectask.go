package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// tokenError is what is wrong with an answer about one token.
type tokenError struct{ error }

func (e tokenError) Unwrap() error { return e.error }

func isAboutToken(err error) bool {
	_, ok := errors.AsType[tokenError](err)
	return ok
}

// ask is one request of RFC 7662, section 2.1.
func (i *introspector) ask(ctx context.Context, token string) (active bool, err error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return false, fmt.Errorf("middleware: introspection: %w", err)
	}
	fetch.LimitResends(r)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret)) // RFC 6749, section 2.3.1
	answer, err := i.Client.Do(r)
	if err != nil {
		return false, fmt.Errorf("middleware: introspection: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, which ends with no context
		return false, i.refused(answer)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxIntrospection))
	switch {
	case answer.StatusCode != http.StatusOK:
		return false, i.refused(answer)
	case err != nil:
		return false, fmt.Errorf("middleware: introspection: %w", err)
	}
	if active, err = i.active(string(body)); err != nil {
		return false, tokenError{fmt.Errorf("middleware: introspection: %s: %w", i.Endpoint, err)}
	}
	return active, nil
}

// refused is the error of a status other than 200. 401 and 429 are about this API, and
// Retry-After counts with 429 and 503.
func (i *introspector) refused(answer *http.Response) error {
	failure := &fetch.StatusError{URL: i.Endpoint, Status: answer.StatusCode}
	err := fmt.Errorf("middleware: introspection: %w", failure)
	switch status := answer.StatusCode; {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		failure.RetryAfter = fetch.RetryAfter(answer.Header)
	case status/100 == 4 && status != http.StatusUnauthorized:
		return tokenError{err}
	}
	return err
}

// active reads the one member that decides (RFC 7662, section 2.2). The strict
// reader takes no other spelling of its name, and no name twice.
func (i *introspector) active(answer string) (bool, error) {
	members, err := jose.ParseObject(answer)
	if err != nil {
		return false, err
	}
	switch value, _ := members.Raw("active"); string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("the answer does not say whether the token is active")
}
