package outbound

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// Transport returns a RoundTripper that sends requests through base with a token of the
// Source. A nil base is [http.DefaultTransport].
//
//   - A request without a token is never sent: if none can be had, that is the error.
//   - A request to an origin that is not named is not sent. See Config.Origins. That holds
//     for Request.Host and URL.Opaque too, by which some servers and proxies choose where a
//     request goes. A reverse proxy has to clear the Host of the request that it received.
//   - A request that has an Authorization header is not sent, because one of the two
//     credentials would be lost without a word. Delete the header first.
//   - The request is not changed. The answer's Request is the one that was given, without
//     the token.
//   - An answer 401 with a Bearer challenge whose error is invalid_token makes the Source
//     fetch another token, once for each token that is refused. The request is then sent
//     once more if it has no body or has GetBody, as requests of [http.NewRequest] mostly
//     do. If no other token can be had, the 401 is the answer. Before a request is sent
//     again, the body of the 401 is closed unread.
//   - CloseIdleConnections of http.Client is passed on to base.
//   - With Config.DPoP, each request has a new proof. The API's DPoP-Nonce is kept for its
//     origin, and an answer 401 with a DPoP challenge whose error is use_dpop_nonce makes
//     the request be sent once more, with the new nonce, if it can be. So does
//     invalid_dpop_proof, if the Date of the answer shows that the clock here is wrong:
//     later proofs for the origin have the API's time. The same request may be sent once
//     more for invalid_token. A request that has a DPoP header is not sent.
//   - With Config.Certificate, base must be an *http.Transport. It is copied, so that
//     connections show the certificate. Connections that other RoundTrippers opened would
//     not: put them around the one that is returned.
//
// If APIs go on to refuse tokens, five for the same resource and scopes are replaced at
// once, and then one each 30 s. Of all tokens together, 20 replacements that were refused
// too are replaced at once, and then one each 3 s.
func (s *Source) Transport(base http.RoundTripper) http.RoundTripper {
	t := &transport{source: s, base: base}
	if base == nil {
		t.base = http.DefaultTransport
	}
	if s.zero() || s.family.config.Certificate == nil {
		return t
	}
	if t.showing, t.mistaken = newShowing(t.base); base == nil {
		t.showing, t.mistaken = s.family.api, s.family.apiError
	}
	if t.mistaken != nil {
		t.mistaken = fmt.Errorf("outbound: the base of Transport %w", t.mistaken)
	}
	return t
}

// Client returns a client whose requests carry a token of the Source. See
// [Source.Transport]. It does not follow a redirect to an origin that is not named: that
// redirect is the answer. Each call returns another client, which may be changed.
func (s *Source) Client() *http.Client {
	var base http.RoundTripper
	if !s.zero() && s.family.config.HTTP != nil && s.family.config.Certificate == nil {
		base = s.family.config.HTTP.Transport
	}
	return &http.Client{Transport: s.Transport(base), CheckRedirect: s.checkRedirect}
}

const maxRedirects = 10 // as net/http

func (s *Source) checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case s.zero() || !s.want.origins.allow(r.URL):
		return http.ErrUseLastResponse
	case len(via) >= maxRedirects:
		return errors.New("outbound: stopped after 10 redirects")
	}
	return nil
}

type transport struct {
	source   *Source
	base     http.RoundTripper
	showing  *showing // of base, with Config.Certificate
	mistaken error    // why there is none
}

var errAuthorization = errors.New("outbound: the request has an Authorization header already, so no token is added: delete the header, or use another client")

var errTarget = errors.New("outbound: no token is sent: Request.Host or URL.Opaque names another host than the URL: leave them empty, or add that host to Config.Origins")

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	h, err := t.admit(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a RoundTripper must
		}
		return nil, err
	}
	if t.source.family.prover != nil {
		return t.prove(r, h)
	}
	res, err := t.send(r, r.Body, h, "")
	if err != nil || res.StatusCode != http.StatusUnauthorized || !challenges(res.Header, schemeBearer, "invalid_token") {
		return res, err
	}
	body, next := t.another(r, h)
	if next == nil {
		return res, nil
	}
	t.again(r, res)
	return t.send(r, body, next, "")
}

// admit checks a request, and returns the token for it.
func (t *transport) admit(r *http.Request) (*held, error) {
	switch {
	case t.source.zero():
		return nil, errZero
	case r.URL == nil:
		return nil, errors.New("outbound: the request has no URL")
	case !t.source.want.origins.allow(r.URL):
		return nil, t.source.refuse(r.URL)
	case !t.source.want.origins.allowTarget(r):
		return nil, errTarget
	case has(r.Header, "Authorization"):
		return nil, errAuthorization
	case t.mistaken != nil:
		return nil, t.mistaken
	}
	return t.source.held(r.Context())
}

// has finds a header in any spelling of its name.
func has(h http.Header, sought string) bool {
	for name := range h {
		if len(name) == len(sought) && strings.EqualFold(name, sought) {
			return true
		}
	}
	return false
}

// send sends a copy of the request with a token, and with a proof if there is one.
func (t *transport) send(r *http.Request, body io.ReadCloser, h *held, proof string) (*http.Response, error) {
	sent := r.WithContext(r.Context())
	if sent.Header = maps.Clone(r.Header); sent.Header == nil {
		sent.Header = http.Header{}
	}
	sent.Header["Authorization"] = []string{h.header}
	if proof != "" {
		sent.Header["Dpop"] = []string{proof}
	}
	sent.Body = body
	base := t.base
	if h.identity != nil {
		base = t.showing.with(h.identity)
	}
	res, err := base.RoundTrip(sent)
	switch {
	case res != nil:
		res.Request = r
	case err == nil:
		return nil, errNoAnswer
	case h.quotedIn(err, proof):
		return nil, errQuotesToken
	}
	return res, err
}

var (
	errNoAnswer    = errors.New("outbound: the base transport returned neither an answer nor an error")
	errQuotesToken = errors.New("outbound: the request failed, and the cause is withheld: it quotes the token or its proof")
)

// CloseIdleConnections closes those of the base, if it can: http.Client asks for it.
func (t *transport) CloseIdleConnections() {
	t.showing.closeIdle()
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}
