package issuer

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Mount adds the issuer's endpoints to an Echo app, at the paths that its
// metadata states: token, revocation, introspection, the key set and the
// metadata. They write every answer themselves, so the app's error handler never
// changes the form that RFC 6749, section 5.2 gives errors.
//
// An app that wants an endpoint elsewhere, or not at all, adds the handlers that
// it wants itself:
//
//	e.POST("/oauth/token", echo.WrapHandler(iss.TokenHandler()))
//
// A request's network, which some bounds are for, is that of its connection, unless
// Config.ClientIP or else e.IPExtractor says where it comes from. Endpoints that Mount
// adds see e.IPExtractor; for those that the app adds itself, as above, set
// Config.ClientIP.
func (i *Issuer) Mount(e *echo.Echo) {
	clientIP := i.addressOf
	if i.made() && i.clientIP == nil {
		clientIP = func(r *http.Request) string {
			// Asked per request: the app may set it after Mount. Not c.RealIP, which
			// believes any header when there is no extractor.
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

// isEchoTooLarge reports whether Echo's BodyLimit has cut the body short.
func isEchoTooLarge(err error) bool {
	var limit *echo.HTTPError
	return errors.As(err, &limit) && limit.Code == http.StatusRequestEntityTooLarge
}
