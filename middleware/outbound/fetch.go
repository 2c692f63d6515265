package outbound

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// fetcher sends token requests.
type fetcher struct {
	http      *http.Client
	discovery discovery
	secrets   secrets
	refusals  refusals
	config    *Config
}

func newFetcher(c *Config, metadata *fetch.Client) *fetcher {
	f := &fetcher{config: c, discovery: discovery{client: metadata, issuer: c.Issuer}, secrets: secrets{read: c.Secret}, http: &http.Client{
		// A redirect would take the secret along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.HTTP != nil && c.HTTP.Transport != nil {
		f.http.Transport = c.HTTP.Transport
	} else {
		f.http.Transport = guarded(&f.discovery)
	}
	return f
}

// grant is a token with its times.
type grant struct {
	*answer
	sent        time.Time
	life        time.Duration // from sent on
	offset      time.Duration // of this clock to the server's
	offsetKnown bool
}

// fetch is one token request, discovery included. ctx bounds all of it. use tells
// afterwards which secret was used.
func (f *fetcher) fetch(ctx context.Context, w *want, use *secretUse) (*grant, error) {
	secret, err := f.secrets.get(ctx, use)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = errors.New(err.Error()) // it is not the end of the caller's context
		}
		return nil, unavailable(secretError{err})
	}
	endpoint, err := f.endpoint(ctx)
	if err != nil {
		return nil, unavailable(fmt.Errorf("outbound: %w", f.withhold(err, secret)))
	}
	g, err := f.request(ctx, endpoint, secret, w)
	read := use.secret // as the file has it
	if former := use.outcome(secret, err); former != "" {
		g, err = f.retry(ctx, endpoint, former, w, use, err)
	}
	f.refusals.note(use.file, err, read, use.secret)
	e, ok := errors.AsType[*Error](err)
	if ok {
		e.about = w.about(e.Code)
	}
	if err != nil && (!ok || e.Code == "") {
		f.discovery.expire(endpoint)
	}
	return g, err
}

// retry tries the secret that the server accepted before the one that it has refused now.
// If that fails in any way, the refusal is the result: it is what is retried slowly.
func (f *fetcher) retry(ctx context.Context, endpoint, former string, w *want, use *secretUse, refusal error) (*grant, error) {
	use.secret = former
	g, err := f.request(ctx, endpoint, former, w)
	use.outcome(former, err)
	if err != nil {
		return nil, refusal
	}
	use.warning = fmt.Errorf("outbound: the former secret is used, and the latest one was refused: %w", refusal)
	return g, nil
}

// endpoint returns the token endpoint.
func (f *fetcher) endpoint(ctx context.Context) (string, error) {
	if f.config.TokenURL != "" {
		return f.config.TokenURL, nil
	}
	return f.discovery.endpoint(ctx)
}

// at returns the token endpoint, or the issuer until it is found.
func (f *fetcher) at() string {
	return cmp.Or(f.config.TokenURL, f.discovery.known(), f.config.Issuer)
}

// request is the token request (RFC 6749, section 4.4.2).
func (f *fetcher) request(ctx context.Context, endpoint, secret string, w *want) (*grant, error) {
	r, err := f.form(ctx, endpoint, secret, w)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	res, err := f.http.Do(r)
	if err != nil {
		return nil, unavailable(fmt.Errorf("outbound: %w", f.withhold(err, secret)))
	}
	defer func() { _ = res.Body.Close() }() // everything needed has been read
	received := time.Now()
	if res.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, which ends with no context
		return nil, refusal(res.StatusCode, "")
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case res.StatusCode/100 == 3:
		return nil, unavailable(fmt.Errorf("outbound: the token endpoint redirects (%d), and the secret is not sent elsewhere: set Config.TokenURL to the new address", res.StatusCode))
	case res.StatusCode != http.StatusOK:
		e := refusal(res.StatusCode, string(body[:min(len(body), maxAnswer)])) // what could be read of it will do
		e.retryAfter = retryAfter(res.Header, received)
		return nil, f.censor(e, secret)
	case err != nil:
		return nil, unavailable(fmt.Errorf("outbound: the token endpoint's answer: %w", f.withhold(err, secret)))
	case len(body) > maxAnswer:
		return nil, unavailable(fmt.Errorf("outbound: the token endpoint's answer is larger than %d bytes", maxAnswer))
	}
	a, err := parseAnswer(strings.TrimPrefix(string(body), "\ufeff"))
	if errors.Is(err, errNotJSON) {
		if typ, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); typ == "text/html" {
			err = errors.New("outbound: the token endpoint's answer is a web page: something else may answer there")
		}
		return nil, unavailable(err)
	}
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			e.retryAfter = retryAfter(res.Header, received)
		}
		return nil, f.censor(err, secret)
	}
	g := &grant{answer: a, sent: sent}
	g.offset, g.offsetKnown = clockOffset(res.Header, received)
	if g.life = lifeOf(a, sent, received, g.offset, g.offsetKnown); g.life <= 0 || time.Since(sent) >= g.life {
		return nil, unavailable(errors.New("outbound: the token had expired when it arrived"))
	}
	return g, nil
}

// form makes the request, with the client's authentication (RFC 6749, section 2.3.1).
func (f *fetcher) form(ctx context.Context, endpoint, secret string, w *want) (*http.Request, error) {
	c := f.config
	form := url.Values{"grant_type": {"client_credentials"}}
	maps.Copy(form, c.Params)
	if len(w.scopes) > 0 {
		form.Set("scope", strings.Join(w.scopes, " "))
	}
	if len(w.resources) > 0 {
		form["resource"] = w.resources
	}
	if c.Method == methodPost {
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", secret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("outbound: %w", err)
	}
	fetch.LimitResends(r)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	switch {
	case c.Method == methodPost:
	case c.RawBasic:
		r.SetBasicAuth(c.ClientID, secret)
	default:
		r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(secret))
	}
	return r, nil
}

// withhold replaces an error that quotes the secret, as net/http does with parts of a
// broken answer.
func (f *fetcher) withhold(err error, secret string) error {
	if f.quotes(err.Error(), secret) {
		return errors.New("the cause is withheld: it quotes the secret")
	}
	return err
}

// censor empties the texts of a refusal that quote the secret, and cuts the description
// to 200 bytes after that, as a part of a secret is not recognised.
func (f *fetcher) censor(err error, secret string) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	if f.quotes(e.Code, secret) || f.quotes(e.Description, secret) {
		e.Code, e.Description = "", "withheld: it quotes the secret"
	}
	e.Description = e.Description[:min(len(e.Description), 200)]
	return err
}

// quotes reports whether a text has the secret in a form in which it is sent.
func (f *fetcher) quotes(text, secret string) bool {
	id, escaped := f.config.ClientID, url.QueryEscape(secret)
	quoted := strconv.Quote(secret) // as net/http writes parts of a broken answer
	for _, form := range []string{
		secret, printable(secret), escaped, quoted[1 : len(quoted)-1],
		base64.StdEncoding.EncodeToString([]byte(id + ":" + secret)),
		base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id) + ":" + escaped)),
	} {
		if form != "" && strings.Contains(text, form) {
			return true
		}
	}
	return false
}
