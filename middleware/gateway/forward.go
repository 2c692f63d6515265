package gateway

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	bearer "github.com/echo-m2m/m2m/middleware"
)

// ForwardConfig says what an upstream learns of the caller. The zero value sets
// X-Client-Id, X-Client-Scopes and X-Token-Issuer, and keeps the caller's token from the
// upstream.
//
// For the gateway's own token, send the requests of the proxy through package outbound:
// middleware.ProxyConfig and httputil.ReverseProxy both have a Transport, and
// source.Transport(nil) is one. Set UpstreamHost then.
type ForwardConfig struct {
	// Headers maps the names of request headers to the claims that they hold. These are
	// read as the guard has read them: iss, sub, client_id, scope and jti. Any other name
	// is a claim of the token: a string, a number, a boolean, or a list of strings, which
	// are then separated by spaces. A header whose claim is missing or empty is not set.
	//
	// A value that is not printable ASCII, has a space at its start or end, or is no such
	// claim cannot be said in a header without doubt. Such a request is refused with 403.
	//
	// Default: X-Client-Id is client_id, X-Client-Scopes is scope and X-Token-Issuer is
	// iss; none if Internal is set. An empty map sets none.
	Headers map[string]string

	// Internal signs a short-lived token for the upstream, in the header Authorization.
	// Default none.
	Internal *Internal

	// PassAuthorization sends the caller's own token on: Authorization and DPoP. If the
	// connection has a client certificate, Client-Cert (RFC 9440) holds it. A Client-Cert
	// header of the caller never goes on. Set Internal or PassAuthorization, not both.
	PassAuthorization bool

	// UpstreamHost sends requests with the host of the upstream's URL. By default Echo's
	// Proxy, and httputil.ReverseProxy with Director, send the Host of the client, to which
	// package outbound sends no token. With Rewrite, SetURL does it.
	UpstreamHost bool

	// Strip names further headers that only the gateway may send, such as X-Tenant. They
	// are removed from requests, and so are their twins. Middleware that sets one for the
	// upstream belongs behind the Forwarder.
	Strip []string

	// Upgrades are the protocols that a client may switch to (RFC 9110, section 7.8).
	// Requests for another one are served without a switch. After it the client speaks
	// to the upstream directly. With h2c it could send further requests, with any header.
	// Default: websocket. An empty list allows none.
	Upgrades []string
}

// Forwarder tells upstreams who called. It removes what a client could lie with, and then
// sets what the guard has verified. Put it behind the guard and directly in front of the
// proxy. [NewForwarder] makes it; the zero Forwarder and nil answer 500.
//
// Removed from each request are the headers it sets, X-Client-Id, X-Client-Scopes,
// X-Token-Issuer, the credentials of the caller, and what some upstreams obey in place of
// the method or path that the guard has decided on: X-HTTP-Method-Override,
// X-HTTP-Method, X-Method-Override, X-Original-URL and X-Rewrite-URL. So is every twin of
// these names, which is one that differs in case, or by a character that is neither letter
// nor digit: x_client_id. Of the names that proxies set, such as X-Forwarded-For, the twins
// alone are removed. Headers about one connection, such as Keep-Alive, are removed with their
// twins. So is what Connection lists: a proxy would remove that after the Forwarder has set it.
//
// TRACE, TRACK and CONNECT are answered 501: TRACE would show the client what the upstream
// got, the internal token or the gateway's own among it.
//
// A request without a token, as behind an optional guard, goes on with none of the headers.
//
// Not checked: that only the gateway can reach the upstream. Anyone who can reach it
// directly can send any header. With Internal it takes a signed token. Nor a method in the
// query or the body, such as _method: switch that off at the upstream.
type Forwarder struct {
	headers  []identityHeader
	names    *nameSet // the kinds of header names
	internal *internalTokens
	pass     bool
	ownHost  bool // the upstream's
	upgrades []string
}

type identityHeader struct{ name, claim string }

var defaultHeaders = map[string]string{"X-Client-Id": "client_id", "X-Client-Scopes": "scope", "X-Token-Issuer": "iss"}

// NewForwarder checks the configuration and copies it.
func NewForwarder(c ForwardConfig) (*Forwarder, error) {
	f := &Forwarder{names: newNameSet(), pass: c.PassAuthorization, ownHost: c.UpstreamHost, upgrades: slices.Clone(c.Upgrades)}
	if c.Upgrades == nil {
		f.upgrades = []string{"websocket"}
	}
	for _, protocol := range f.upgrades {
		if protocol == "" || strings.ContainsAny(protocol, ", \t\r\n") || !isHeaderValue(protocol) {
			return nil, fmt.Errorf(`gateway: ForwardConfig.Upgrades has %q: write the name of one protocol, such as "websocket"`, protocol)
		}
	}
	if c.Internal != nil {
		if c.PassAuthorization {
			return nil, errors.New("gateway: ForwardConfig.Internal and PassAuthorization are both set, and there is one Authorization header: write one of them")
		}
		internal, err := newInternalTokens(*c.Internal)
		if err != nil {
			return nil, err
		}
		f.internal = internal
	}
	headers := c.Headers
	if headers == nil && c.Internal == nil {
		headers = defaultHeaders
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if err := f.addHeader(name, headers[name]); err != nil {
			return nil, err
		}
	}
	for _, name := range c.Strip {
		if !isHeaderName(name) {
			return nil, fmt.Errorf("gateway: ForwardConfig.Strip has %q: write a header name of letters, digits and hyphens", name)
		}
		f.names.add(name, protected)
	}
	for name := range defaultHeaders {
		f.names.add(name, protected)
	}
	for _, name := range slices.Concat(credentialHeaders, overrideHeaders) {
		f.names.add(name, protected)
	}
	return f, nil
}

// addHeader adds one header of the mapping.
func (f *Forwarder) addHeader(name, claim string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !isHeaderName(name):
		return fmt.Errorf("gateway: ForwardConfig.Headers has the name %q: write letters, digits and hyphens", name)
	case claim == "":
		return fmt.Errorf(`gateway: ForwardConfig.Headers has no claim for %s: write one, such as "client_id"`, name)
	case slices.Contains(slices.Concat(hopHeaders, credentialHeaders, overrideHeaders, []string{"Host", "Content-Length"}), canonical):
		return fmt.Errorf("gateway: ForwardConfig.Headers has %s, which has a meaning of its own: write another name, such as X-Client-Id", name)
	case f.names.kind(canonical) == protected:
		return fmt.Errorf("gateway: ForwardConfig.Headers has %s twice: names that differ in case or punctuation alone are one name to many upstreams", name)
	}
	f.names.add(canonical, protected)
	f.headers = append(f.headers, identityHeader{canonical, claim})
	return nil
}

// Handler puts the Forwarder in front of a proxy of net/http, such as
// httputil.ReverseProxy with Rewrite or Director:
//
//	mux.Handle("/orders/", auth.Handler(forward.Handler(proxy), "orders:read"))
func (f *Forwarder) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, e := f.header(r, bearer.TokenFromContext(r.Context()))
		if e == nil && next == nil {
			e = misconfigured()
		}
		if e != nil {
			e.answer(w)
			return
		}
		out := new(http.Request)
		*out = *r
		out.Header, out.Trailer = h, withoutProtected(r.Trailer, f.names)
		if f.ownHost {
			out.Host = ""
		}
		next.ServeHTTP(w, out)
	})
}

// header returns the header of the request for the upstream. The given request is not
// changed.
func (f *Forwarder) header(r *http.Request, t *bearer.Token) (http.Header, *forwardError) {
	if f == nil || f.names == nil {
		return nil, misconfigured()
	}
	if e := notForwarded(r.Method); e != nil {
		return nil, e
	}
	h := endToEnd(r, f.names, f.upgrades, len(f.headers))
	if t == nil {
		return h, nil
	}
	if e := f.identify(h, r, t); e != nil {
		return nil, e
	}
	return h, nil
}

// identify sets what the upstream may know of the caller.
func (f *Forwarder) identify(h http.Header, r *http.Request, t *bearer.Token) *forwardError {
	if err := f.setHeaders(h, t); err != nil {
		return unsayable(err)
	}
	switch {
	case f.internal != nil:
		token, e := f.internal.of(r.Context(), t)
		if e != nil {
			return e
		}
		h["Authorization"] = []string{"Bearer " + token}
	case f.pass:
		for _, name := range [...]string{"Authorization", "Dpop"} {
			if values := r.Header[name]; len(values) > 0 {
				h[name] = values
			}
		}
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			h["Client-Cert"] = []string{":" + base64.StdEncoding.EncodeToString(r.TLS.PeerCertificates[0].Raw) + ":"}
		}
	}
	return nil
}
