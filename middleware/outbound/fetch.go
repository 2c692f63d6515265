package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// fetcher sends token requests.
type fetcher struct {
	config      *Config
	discovery   discovery
	credentials credentials
	refusals    refusals
	prover      *prover                                 // nil without Config.DPoP
	transport   func(shown *identity) http.RoundTripper // for token requests
	showings    []*showing                              // of it, with Config.Certificate
	offset      atomic.Int64                            // of this clock to the server's, by its latest Date

	mu       sync.Mutex
	identity *identity // as read last
}

func newFetcher(c *Config, metadata *fetch.Client, p *prover) (*fetcher, error) {
	f := &fetcher{config: c, credentials: newCredentials(c), prover: p}
	f.discovery = discovery{client: metadata, issuer: c.Issuer, mutual: c.Certificate != nil}
	given := c.HTTP != nil && c.HTTP.Transport != nil
	if given && c.Certificate == nil {
		f.transport = func(*identity) http.RoundTripper { return c.HTTP.Transport }
		return f, nil
	}
	if given {
		s, err := newShowing(c.HTTP.Transport)
		if err != nil {
			return nil, fmt.Errorf("outbound: Config.HTTP: its Transport %w", err)
		}
		f.showings = []*showing{s}
		f.transport = func(shown *identity) http.RoundTripper { return s.with(shown) }
		return f, nil
	}
	anywhere, outside := guarded(&f.discovery)
	if c.Certificate == nil {
		guard := &endpointGuard{&f.discovery, anywhere, outside}
		f.transport = func(*identity) http.RoundTripper { return guard }
		return f, nil
	}
	a, o := &showing{base: anywhere}, &showing{base: outside}
	f.showings = []*showing{a, o}
	f.transport = func(shown *identity) http.RoundTripper {
		return &endpointGuard{&f.discovery, a.with(shown), o.with(shown)}
	}
	return f, nil
}

// identify returns the identity of a certificate: the same one as long as that is the same.
func (f *fetcher) identify(certificate *tls.Certificate) (*identity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.identity.shows(certificate) && time.Now().Before(f.identity.ends) {
		return f.identity, nil
	}
	id, err := newIdentity(certificate)
	if err == nil {
		f.identity = id
	}
	return id, err
}

// grant is a token with its times.
type grant struct {
	*answer
	sent        time.Time
	life        time.Duration // from sent on
	offset      time.Duration // of this clock to the server's
	offsetKnown bool
	identity    *identity // it was fetched with
}

// fetch is one token request, discovery included. ctx bounds all of it. u tells
// afterwards which credentials were used.
func (f *fetcher) fetch(ctx context.Context, w *want, u *uses) (*grant, error) {
	a, err := f.read(ctx, u)
	if err != nil {
		return nil, err
	}
	endpoint, err := f.endpoint(ctx)
	if err != nil {
		return nil, unavailable(fmt.Errorf("outbound: %w", f.withhold(err, a)))
	}
	g, err := f.request(ctx, endpoint, a, w)
	for mayNonce, mayClock := true, true; ; {
		switch {
		case mayNonce && f.wantsNonce(a, err):
			mayNonce = false
		case mayClock && f.wantsTime(a, err):
			mayClock = false
		default:
			return f.settle(ctx, endpoint, a, w, u, g, err)
		}
		// The assertion is new too: some servers have used up the first one.
		if a, err = f.read(ctx, u); err != nil {
			return nil, err
		}
		g, err = f.request(ctx, endpoint, a, w)
	}
}

// settle tries the former credential if the server has refused the latest one, and notes
// the outcome.
func (f *fetcher) settle(ctx context.Context, endpoint string, a attempt, w *want, u *uses, g *grant, err error) (*grant, error) {
	read := u.client.secret // as the file has it
	if former := u.client.outcome(a.shown, err); former != "" {
		g, err = f.retry(ctx, endpoint, former, a, w, u, err)
	}
	if err == nil {
		u.certificate.outcome(u.certificate.secret, nil)
	}
	f.refusals.note(u.client.file, err, read, u.client.secret)
	e, ok := errors.AsType[*Error](err)
	if ok {
		e.about = w.about(e.Code)
	}
	if err != nil && (!ok || e.Code == "") {
		f.discovery.expire(endpoint)
	}
	return g, err
}

// wantsNonce reports whether the server has refused a proof for its nonce, and has told
// another one (RFC 9449, section 8).
func (f *fetcher) wantsNonce(a attempt, err error) bool {
	if f.prover == nil {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == codeNonce && f.prover.token.get() != a.nonce
}

// wantsTime reports whether the server has refused a proof, and its clock differs from what
// the proof has.
func (f *fetcher) wantsTime(a attempt, err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && f.prover != nil && e.Code == codeProof && differ(a.offset, time.Duration(f.offset.Load()))
}

// retry tries the credential that the server accepted before the one that it has refused
// now. If that fails in any way, the refusal is the result: it is what is retried slowly.
func (f *fetcher) retry(ctx context.Context, endpoint, former string, refused attempt, w *want, u *uses, refusal error) (*grant, error) {
	a, err := f.former(refused, former)
	if err != nil {
		return nil, refusal
	}
	u.client.secret = former
	g, err := f.request(ctx, endpoint, a, w)
	u.client.outcome(former, err)
	if err != nil {
		return nil, refusal
	}
	u.client.warning = fmt.Errorf("outbound: the former %s is used, and the latest one was refused: %w", a.noun(), refusal)
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
func (f *fetcher) request(ctx context.Context, endpoint string, a attempt, w *want) (*grant, error) {
	if f.prover != nil {
		var err error
		a.nonce, a.offset = f.prover.token.get(), time.Duration(f.offset.Load())
		if a.proof, err = f.prover.prove(ctx, &f.prover.fetches, timeAt(a.offset), http.MethodPost, endpoint, "", a.nonce); err != nil {
			return nil, unreadable(err)
		}
	}
	r, err := f.form(ctx, endpoint, a, w)
	if err != nil {
		return nil, err
	}
	client := http.Client{
		Transport: f.transport(a.identity),
		// A redirect would take the secret along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	sent := time.Now()
	res, err := client.Do(r)
	if err != nil {
		return nil, unavailable(fmt.Errorf("outbound: %w", f.withhold(err, a)))
	}
	defer func() { _ = res.Body.Close() }() // everything needed has been read
	received := time.Now()
	offset, known := clockOffset(res.Header, received)
	if known {
		f.offset.Store(int64(offset))
	}
	if f.prover != nil {
		f.prover.token.learn(res.Header, a.nonce)
	}
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
		return nil, f.censor(e, a)
	case err != nil:
		return nil, unavailable(fmt.Errorf("outbound: the token endpoint's answer: %w", f.withhold(err, a)))
	case len(body) > maxAnswer:
		return nil, unavailable(fmt.Errorf("outbound: the token endpoint's answer is larger than %d bytes", maxAnswer))
	}
	answered, err := parseAnswer(strings.TrimPrefix(string(body), "\ufeff"), f.scheme())
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
		return nil, f.censor(err, a)
	}
	g := &grant{answer: answered, sent: sent, offset: offset, offsetKnown: known, identity: a.identity}
	g.life = lifeOf(answered, sent, received, offset, known)
	if a.identity != nil { // no connection can show it afterwards
		g.life = min(g.life, a.identity.ends.Sub(sent))
	}
	if g.life <= 0 || time.Since(sent) >= g.life {
		return nil, unavailable(errors.New("outbound: the token had expired when it arrived"))
	}
	return g, nil
}

// scheme is the type that tokens must have, and the scheme that they are sent with.
func (f *fetcher) scheme() string {
	if f.prover != nil {
		return schemeDPoP
	}
	return schemeBearer
}
