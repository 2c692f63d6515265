package issuer

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Mount adds the issuer's endpoints to an Echo app, at the paths that its
// metadata states: the token endpoint, the key set and the metadata. An app
// that wants them elsewhere adds [Issuer.Token], [Issuer.JWKS] and
// [Issuer.Metadata] itself, and sees to it that the paths are those under
// Config.Issuer as callers see it.
func (i *Issuer) Mount(e *echo.Echo) {
	token, keys, metadata := i.paths()
	e.Any(token, i.Token) // it answers other methods than POST in its own form
	e.Match([]string{http.MethodGet, http.MethodHead}, keys, i.JWKS)
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
	i.serveToken(c.Response(), c.Request())
	return nil
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
