package issuer

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/labstack/echo/v4"
)

// Mount adds the issuer's endpoints to an Echo app, at the paths that its
// metadata states: token, revocation, introspection, the key set and the
// metadata. An app that wants some elsewhere, or not at all, adds
// [Issuer.Token] and the others itself, and sees to it that the paths are those
// under Config.Issuer as callers see it.
//
// The limit on failed attempts goes by the network that a request comes from:
// that of the connection, unless the app says whom to believe with
// e.IPExtractor.
func (i *Issuer) Mount(e *echo.Echo) {
	base, metadata := i.paths()
	// These answer other methods than POST in their own form.
	e.Any(base+i.tokenPath, i.Token)
	e.Any(base+revokePath, i.Revoke)
	e.Any(base+introspectPath, i.Introspect)
	e.Match([]string{http.MethodGet, http.MethodHead}, base+jwksPath, i.JWKS)
	e.Match([]string{http.MethodGet, http.MethodHead}, metadata, i.Metadata)
}

// Token is the token endpoint (RFC 6749 §3.2). It takes POST and parameters in
// a form body of at most 64 KiB, never in the URL. The client authenticates with
// client_secret_basic or client_secret_post. It writes every answer itself and
// returns nil, so the app's error handler never changes the form that RFC 6749
// §5.2 gives errors.
//
// Not checked: that the request came over TLS.
func (i *Issuer) Token(c echo.Context) error {
	i.serve(c.Response(), c.Request(), addressOf(c), checkGrant, i.grant)
	return nil
}

// Revoke is the revocation endpoint (RFC 7009 §2): a client, which
// authenticates as at the token endpoint, takes one of its own tokens back. The
// answer is 200 also for a token that is not valid; one of another client is
// unauthorized_client.
//
// Not looked at: token_type_hint, as there is one type.
func (i *Issuer) Revoke(c echo.Context) error {
	i.serve(c.Response(), c.Request(), addressOf(c), checkToken, i.revokeRequested)
	return nil
}

// Introspect is the introspection endpoint (RFC 7662 §2). A client, which
// authenticates as at the token endpoint, sees tokens whose audience is its own
// id or in its Client.Introspects; every other one is inactive to it.
func (i *Issuer) Introspect(c echo.Context) error {
	i.serve(c.Response(), c.Request(), addressOf(c), checkToken, i.introspectRequested)
	return nil
}

// MountAdmin adds the JSON API that manages the clients of a registry: register,
// list, get, update and delete clients, rotate and remove their secrets, revoke
// their tokens. It lies under /clients of the group, whose guard is all that
// protects it:
//
//	iss.MountAdmin(e.Group("/admin", auth.Require("clients:admin")), store)
//
// Members have the names of RFC 7591 where it has one.
func (i *Issuer) MountAdmin(g *echo.Group, manager registry.Manager) {
	api := newAdmin(i, manager)
	handler := func(c echo.Context) error {
		// Ids may hold a slash, so the path is passed on as it was escaped, less
		// the segments of the group.
		group := strings.TrimSuffix(strings.TrimSuffix(c.Path(), "/*"), "/clients")
		below := c.Request().URL.EscapedPath()
		for range strings.Count(group, "/") {
			_, below, _ = strings.Cut(below[1:], "/")
			below = "/" + below
		}
		path, err := url.PathUnescape(below)
		if err != nil {
			return echo.ErrNotFound
		}
		r := c.Request().Clone(c.Request().Context())
		r.URL.Path, r.URL.RawPath = path, below
		api.ServeHTTP(c.Response(), r)
		return nil
	}
	g.Any("/clients", handler)
	g.Any("/clients/*", handler)
}

// addressOf is where a request comes from, as far as failures count. c.RealIP
// believes any header when the app has not said whom to trust.
func addressOf(c echo.Context) string {
	if extract := c.Echo().IPExtractor; extract != nil {
		return extract(c.Request())
	}
	return c.Request().RemoteAddr
}

// JWKS publishes the public keys (RFC 7517 §5), for /.well-known/jwks.json.
func (i *Issuer) JWKS(c echo.Context) error {
	i.keys.ServeHTTP(c.Response(), c.Request())
	return nil
}

// Metadata is the document of RFC 8414, for
// /.well-known/oauth-authorization-server.
func (i *Issuer) Metadata(c echo.Context) error {
	i.serveMetadata(c.Response(), c.Request())
	return nil
}
