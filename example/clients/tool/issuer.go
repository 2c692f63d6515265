package tool

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// fetcher allows https, and http on the loopback.
var fetcher = fetch.NewClient(nil, false)

// caller sends requests that hold a secret or a token: it follows no redirect.
var caller = &http.Client{
	Timeout:       Timeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// grant asks an issuer for a token.
type grant struct {
	issuer, id, secret string
	post               bool // the secret goes into the body, and not into the header
	scope              string
	resources          []string
}

// granted is the answer.
type granted struct {
	Token     string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int64  `json:"expires_in"`
	Scope     string `json:"scope,omitempty"`
}

// ask gets a token from the token endpoint that the issuer's metadata names.
func (g grant) ask(ctx context.Context) (granted, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	metadata, err := fetcher.Metadata(ctx, g.issuer, "token_endpoint")
	if err != nil {
		return granted{}, fmt.Errorf("finding the token endpoint of %s: %w", g.issuer, err)
	}
	endpoint, err := metadata.Endpoint("token_endpoint")
	if err != nil {
		return granted{}, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if g.scope != "" {
		form.Set("scope", g.scope)
	}
	if len(g.resources) > 0 {
		form["resource"] = g.resources
	}
	if g.post {
		form.Set("client_id", g.id)
		form.Set("client_secret", g.secret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return granted{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !g.post {
		r.SetBasicAuth(url.QueryEscape(g.id), url.QueryEscape(g.secret)) // RFC 6749, section 2.3.1
	}
	status, body, err := send(r)
	if err != nil {
		return granted{}, without(err, g.secret)
	}
	if status != http.StatusOK {
		return granted{}, without(fmt.Errorf("%s grants no token: %s", endpoint, refusal(status, body)), g.secret)
	}
	var answer granted
	if err := unmarshal(body, &answer); err != nil || !isToken(answer.Token) || !strings.EqualFold(answer.Type, "Bearer") {
		return granted{}, fmt.Errorf("%s: the answer has no bearer token", endpoint)
	}
	return answer, nil
}

// isToken reports whether a text can be sent as a bearer token: it is one word of
// printable ASCII.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// maxAnswer bounds an answer: a page of 500 clients of 64 KiB.
const maxAnswer = 32 << 20

// send sends a request and reads the answer.
func send(r *http.Request) (status int, body []byte, err error) {
	answer, err := caller.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, which need not end
		return answer.StatusCode, nil, errors.New("the answer has status 101")
	}
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is larger than 32 MiB")
	}
	return answer.StatusCode, body, err
}

// unmarshal reads a JSON object strictly.
func unmarshal(body []byte, v any) error {
	object, err := jose.ParseObject(string(body))
	if err != nil {
		return err
	}
	return object.Unmarshal(v)
}

// refusal says what an answer of an error says (RFC 6749, section 5.2).
func refusal(status int, body []byte) string {
	var e struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	text := fmt.Sprintf("status %d", status)
	if unmarshal(body, &e) == nil && e.Code != "" {
		text += " " + dash(e.Code)
		if e.Description != "" {
			text += ": " + dash(e.Description)
		}
	}
	return text
}

// without takes secrets out of the text of an error: a server may quote them.
func without(err error, secrets ...string) error {
	text := err.Error()
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// claimsOf returns the claims of a token. Its signature is not checked.
func claimsOf(token string) (json.RawMessage, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("the access token is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		_, err = jose.ParseObject(string(payload))
	}
	return payload, err
}

// expiry is when a token should no longer be used.
func (g granted) expiry(now time.Time) time.Time {
	return now.Add(time.Duration(g.ExpiresIn)*time.Second - 30*time.Second)
}
