package gateway

import (
	"maps"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// passageKey is where Echo's context keeps the *passage, from the guard to its check.
const passageKey = "m2m.gateway"

// Require is middleware for Echo. It lets a request in with a valid token that the policy
// permits. Register it with e.Use or in a group, where the router has chosen the route; with
// e.Pre it lets nothing in. The rules of the order of middleware are those of
// bearer.Bearer.Require: middleware for CORS goes before it.
//
// A request for a WebSocket gets a context whose IsWebSocket is false: see [Forwarder.Echo].
// To switch to another protocol, such as h2c, only a [Forwarder] refuses.
//
// The token is that of bearer.TokenFrom.
func (g *Gateway) Require() echo.MiddlewareFunc {
	if !g.usable() {
		return func(echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error { return misconfigured().echo(c) }
		}
	}
	guard := g.auth.RequireFunc(func(c echo.Context, t *bearer.Token) error {
		p, ok := c.Get(passageKey).(*passage)
		if !ok {
			return errUnusable
		}
		return p.decide(t)
	})
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		guarded := guard(next)
		return func(c echo.Context) error {
			if p, ok := c.Get(passageKey).(*passage); ok && p.gateway == g && p.admitted && p.isFor(c) {
				return next(c) // a guard further out has let this request in, and counts it
			}
			return g.serve(c, guarded)
		}
	}
}

// isFor reports whether the request still has the route and the method that the policy has
// decided on: the app may have routed it again.
func (p *passage) isFor(c echo.Context) bool {
	return p.route == echoRoute(c) && p.method == c.Request().Method
}

func (g *Gateway) serve(c echo.Context, guarded echo.HandlerFunc) error {
	r := c.Request()
	err := checkTarget(r)
	if err == nil {
		err = checkSegments(c.Path(), r.URL.Path)
	}
	if err == nil && r.URL.RawPath != "" {
		err = checkEchoSpelling(c)
	}
	if err != nil {
		return g.refuse(r, event.MalformedRequest, ambiguous(err)).echo(c)
	}
	var extract func(*http.Request) string
	if e := c.Echo(); e != nil {
		extract = e.IPExtractor
		if g.routes.known.Load() == nil {
			g.routes.learn(e)
		}
	}
	p, e := g.enter(r, echoRoute(c), extract)
	if e != nil {
		return g.refuse(r, event.Busy, e).echo(c)
	}
	defer p.leave()
	c.Set(passageKey, p)
	if c.IsWebSocket() {
		c = unhijacked{c} // or Echo's Proxy would let through what the client sends next
	}
	err = guarded(c)
	if he, ok := err.(*echo.HTTPError); ok { //nolint:errorlint // as the guard returns it
		if refused, ok := he.Internal.(*bearer.Error); ok { //nolint:errorlint // as the guard returns it
			p.refused(refused)
		}
	}
	return err
}

// echoRoute is the route of a request that Echo has routed. One of echo.Host has its host in
// front: it is not the route of the same path on another host.
func echoRoute(c echo.Context) string {
	if e := c.Echo(); e != nil {
		if _, ok := e.Routers()[c.Request().Host]; ok {
			return c.Request().Host + c.Path()
		}
	}
	return c.Path()
}

// checkEchoSpelling refuses a path that Echo routes in another way than its decoded form.
// Echo routes by the encoded form, and an upstream may not.
func checkEchoSpelling(c echo.Context) error {
	r, e := c.Request(), c.Echo()
	if e == nil {
		return nil
	}
	router, ok := e.Routers()[r.Host]
	if !ok {
		router = e.Router()
	}
	probe := e.AcquireContext()
	defer e.ReleaseContext(probe)
	probe.Reset(r, nil)
	router.Find(r.Method, r.URL.Path, probe)
	decoded := probe.Path()
	probe.Reset(nil, nil) // the pool must not keep the request alive
	if decoded != c.Path() {
		return errSpelling
	}
	return nil
}

// learn reads the routes at the first request. Echo's routers must not be changed while they
// serve.
func (r *routes) learn(e *echo.Echo) {
	r.once.Do(func() {
		known := map[string][]string{}
		routers := map[string]*echo.Router{"": e.Router()}
		maps.Copy(routers, e.Routers())
		for host, router := range routers {
			for _, route := range router.Routes() {
				method := route.Method
				if method == echo.RouteNotFound { // of a group, whose middleware may answer, such as a proxy
					method = anyMethod
				}
				known[host+route.Path] = append(known[host+route.Path], method)
			}
		}
		r.known.Store(&known)
	})
}

// Echo returns middleware that goes directly in front of Echo's own Proxy:
//
//	e.Group("/orders", auth.Require("orders:read"), forward.Echo(), middleware.Proxy(orders))
//
// Echo's Proxy handles a WebSocket by connecting the client to the upstream before the
// upstream has agreed to switch. A client could then send further requests past the
// gateway. Behind this middleware Proxy uses httputil.ReverseProxy for these requests too,
// which waits for the answer of the upstream.
func (f *Forwarder) Echo() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			header, trailer, host := r.Header, r.Trailer, r.Host
			h, e := f.header(r, bearer.TokenFrom(c))
			if e != nil {
				return e.echo(c)
			}
			// A copy of the request would cost more than all of the above.
			r.Header, r.Trailer = h, withoutProtected(trailer, f.names)
			if f.ownHost {
				r.Host = ""
			}
			defer func() { r.Header, r.Trailer, r.Host = header, trailer, host }() // for an access log in front
			if c.IsWebSocket() {
				return next(unhijacked{c})
			}
			return next(c)
		}
	}
}

// unhijacked is the context of a request for a WebSocket, which Echo's Proxy is to forward
// as any other request.
type unhijacked struct{ echo.Context }

// IsWebSocket returns false.
func (unhijacked) IsWebSocket() bool { return false }

// echo returns the error for Echo's error handler, which finds the cause in it.
func (e *forwardError) echo(c echo.Context) error {
	if e.retryAfter > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	return &echo.HTTPError{Code: e.status, Message: e.text, Internal: e.cause}
}
