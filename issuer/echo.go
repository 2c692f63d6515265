package issuer

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Mount adds the issuer's endpoints to an Echo app, at the paths in its metadata: token,
// revocation, introspection, the key set and the metadata. The endpoints write every
// answer themselves, so errors have the form of RFC 6749, section 5.2, whatever the
// app's error handler is.
//
// An app that wants an endpoint at another path, or only some of them, adds the handlers
// itself:
//
//	e.POST("/oauth/token", echo.WrapHandler(iss.TokenHandler()))
//
// Limits per network use the address that Config.ClientIP returns, else the one that
// e.IPExtractor returns, else the address of the connection. Only endpoints that Mount
// adds use e.IPExtractor. For endpoints that the app adds itself, as above, set
// Config.ClientIP.
func (i *Issuer) Mount(e *echo.Echo) {
	clientIP := i.addressOf
	if i.made() && i.clientIP == nil {
		clientIP = func(r *http.Request) string {
			// Read per request, because the app may set it after Mount. Not c.RealIP, which
			// trusts any header if there is no extractor.
			if extract := e.IPExtractor; extract != nil {
				return i.address(r, extract(r), errNoClientIP)
			}
			return i.connectionOf(r)
		}
	}
	for _, r := range i.routes(clientIP) {
		if r.readOnly {
			e.Match([]string{http.MethodGet, http.MethodHead}, r.path, echo.WrapHandler(r.handler))
		} else {
			e.Any(r.path, echo.WrapHandler(r.handler))
		}
	}
}

// isEchoTooLarge reports whether the error is that of Echo's BodyLimit.
func isEchoTooLarge(err error) bool {
	var limit *echo.HTTPError
	return errors.As(err, &limit) && limit.Code == http.StatusRequestEntityTooLarge
}
