package issuer

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Handler returns a handler for all endpoints of the issuer, at the paths in its
// metadata: token, revocation, introspection, the key set and the metadata. It answers
// 404 for every other path.
//
// For an issuer with a path, such as https://auth.example.com/eu, clients fetch the
// metadata from /.well-known/oauth-authorization-server/eu (RFC 8414, section 3.1). Route
// that path to Handler as well as /eu/. If an ingress routes only /eu/, configure clients
// with /eu/.well-known/oauth-authorization-server, which serves the same document.
func (i *Issuer) Handler() http.Handler {
	routes := map[string]http.Handler{}
	for _, r := range i.routes(i.addressOf) {
		routes[r.path] = r.handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler := routes[cmp.Or(r.URL.RawPath, r.URL.Path)]
		switch {
		case !i.made():
			notMade().write(w)
		case handler == nil:
			(&Error{Status: http.StatusNotFound, Code: "not_found", Description: "there is no such endpoint"}).write(w)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// TokenHandler returns the token endpoint (RFC 6749, section 3.2). It takes POST
// and parameters in a form body of at most 64 KiB, never in the URL. The client
// authenticates by one of the methods in the metadata. Every answer, errors included,
// has the form of RFC 6749, section 5. The header DPoP has a proof (RFC 9449, section 5),
// and an empty one counts as a proof too.
//
// An app that adds this handler itself, instead of Handler or Mount, must use the path
// in the metadata (Config.TokenPath). Behind a proxy it must set Config.ClientIP.
//
// Not checked: whether the request was sent over TLS.
func (i *Issuer) TokenHandler() http.Handler { return i.token(i.addressOf) }

// RevocationHandler returns the revocation endpoint (RFC 7009, section 2). A client
// authenticates as at the token endpoint, and revokes one of its own tokens. For a token
// that is not valid the answer is also 200. For a token of another client it is
// unauthorized_client.
//
// A client can have 10 000 live revocations. Its next one cuts off the client: that
// revokes all of its tokens, in one entry. Four revocations of a client run at once; for
// more the answer is 429 with Retry-After.
//
// Ignored: token_type_hint, because there is only one type.
func (i *Issuer) RevocationHandler() http.Handler { return i.revocation(i.addressOf) }

// IntrospectionHandler returns the introspection endpoint (RFC 7662, section 2). A client
// authenticates as at the token endpoint. It sees tokens whose audience is its own id or
// in its Client.Introspects. Every other token is inactive to it.
func (i *Issuer) IntrospectionHandler() http.Handler { return i.introspection(i.addressOf) }

// JWKSHandler returns the endpoint that serves the public keys (RFC 7517, section 5), for
// /.well-known/jwks.json.
func (i *Issuer) JWKSHandler() http.Handler {
	return i.readOnly(func(w http.ResponseWriter, r *http.Request) { i.keys.ServeHTTP(w, r) })
}

// MetadataHandler returns the endpoint that serves the metadata of RFC 8414, for
// /.well-known/oauth-authorization-server.
func (i *Issuer) MetadataHandler() http.Handler { return i.readOnly(i.serveMetadata) }

func (i *Issuer) token(clientIP func(*http.Request) string) http.Handler {
	return endpoint{i, event.OpToken, checkGrant, i.bind, i.grant, clientIP}
}

func (i *Issuer) revocation(clientIP func(*http.Request) string) http.Handler {
	return endpoint{i, event.OpRevoke, checkToken, spend, i.revokeRequested, clientIP}
}

func (i *Issuer) introspection(clientIP func(*http.Request) string) http.Handler {
	return endpoint{i, event.OpIntrospect, checkToken, spend, i.introspectRequested, clientIP}
}

// readOnly returns an endpoint that takes GET and HEAD.
func (i *Issuer) readOnly(f http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !i.made():
			notMade().write(w)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			methodNotAllowed("GET, HEAD", "this endpoint takes GET").write(w)
		default:
			f(w, r)
		}
	})
}

// route is an endpoint with its path. A read-only one takes GET and HEAD. The others
// answer every method themselves.
type route struct {
	path     string
	readOnly bool
	handler  http.Handler
}

func (i *Issuer) routes(clientIP func(*http.Request) string) []route {
	p := i.paths()
	routes := []route{
		{p.token, false, i.token(clientIP)},
		{p.revocation, false, i.revocation(clientIP)},
		{p.introspection, false, i.introspection(clientIP)},
		{p.keys, true, i.JWKSHandler()},
	}
	for _, path := range p.metadata {
		routes = append(routes, route{path, true, i.MetadataHandler()})
	}
	if i == nil || i.openID == nil {
		return routes
	}
	for _, path := range p.openID {
		routes = append(routes, route{path, true, i.readOnly(i.serveOpenID)})
	}
	return routes
}

// addressOf returns where a request comes from: the result of Config.ClientIP, or the
// address of the connection.
func (i *Issuer) addressOf(r *http.Request) string {
	if i != nil && i.clientIP != nil {
		return i.address(r, i.clientIP(r), errNoClientIP)
	}
	return i.connectionOf(r)
}

// connectionOf returns the address of the connection, or "" if that is the address of a
// proxy.
func (i *Issuer) connectionOf(r *http.Request) string {
	if forwarded(r) {
		return i.address(r, "", errProxyUnknown)
	}
	return i.address(r, r.RemoteAddr, errNoClientIP)
}

// address returns the address if it is an IP address. Otherwise it returns "", so that
// such callers do not count as one network, and one event says so.
func (i *Issuer) address(r *http.Request, address string, fault error) string {
	if _, ok := ipOf(address); ok {
		return address
	}
	if i != nil {
		i.proxy.Do(func() { i.reportProxy(r.Context(), fault) })
	}
	return ""
}

// made reports whether New made the issuer. If not, its methods return errors and its
// handlers answer 500.
func (i *Issuer) made() bool { return i != nil && i.keys != nil }

// paths are the paths of the endpoints on this host.
type paths struct {
	token, revocation, introspection, keys string
	metadata, openID                       []string
}

// paths returns the paths of the issuer. For an issuer that New did not make, they are
// those at the root.
func (i *Issuer) paths() paths {
	if !i.made() {
		return pathsOf("", "/token")
	}
	return i.at
}

// pathsOf returns the paths of an issuer, which may itself have a path. The well-known
// part of the metadata's path goes before the issuer's path by RFC 8414, section 3.1, and
// behind it by OpenID Connect Discovery, section 4. Both documents are served at both,
// because an ingress may route only what is below the issuer's path.
func pathsOf(issuer, tokenPath string) paths {
	base := strings.TrimSuffix(pathOf(issuer), "/")
	both := func(wellKnown string) []string {
		return slices.Compact([]string{wellKnown + base, base + wellKnown})
	}
	return paths{base + tokenPath, base + revokePath, base + introspectPath, base + jwksPath, both(metadataPath), both(openIDPath)}
}

// others returns all paths but that of the token endpoint.
func (p paths) others() []string {
	return slices.Concat([]string{p.revocation, p.introspection, p.keys}, p.metadata, p.openID)
}
