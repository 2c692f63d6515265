package middleware

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// Echo gives every group with middleware a catch-all route of its "not found"
// handler. Guarded, these routes would turn unknown paths, wrong methods and
// OPTIONS into 401, so a guard of such a handler answers as Echo would without the
// group: 404, 405 with Allow, or 204 to OPTIONS.

// isMissing reports whether next is what Echo calls for a missing route: its own
// handlers, those that the app has set in their place, or our answer in front of
// one of them.
//
// Functions are compared by code pointer, which closures share. So a match is called
// only if it is a route. A mistake can hide a route, but not open one.
func isMissing(next echo.HandlerFunc) bool {
	switch codeOf(next) {
	case echoNotFound, echoMethodNotAllowed, ourAnswer, codeOf(echo.NotFoundHandler), codeOf(echo.MethodNotAllowedHandler):
		return true
	}
	return false
}

var (
	echoNotFound         = codeOf(echo.NotFoundHandler)
	echoMethodNotAllowed = codeOf(echo.MethodNotAllowedHandler)
	ourAnswer            = codeOf(new(missing).answer)
)

func codeOf(h echo.HandlerFunc) uintptr { return reflect.ValueOf(h).Pointer() }

// routeIndex says which methods a pattern has. Echo can only list all routes, so
// each router is read once, at the first request for a missing route. Echo's routers
// must not be changed while they serve. A route that is added then may be missing from
// Allow.
type routeIndex struct {
	mu      sync.Mutex
	routers map[*echo.Router]map[string][]string
}

// missing answers for a route that does not exist.
type missing struct {
	index   *routeIndex
	guarded echo.HandlerFunc // of a next that may be a route's; nil for Echo's own
}

// missing is the guard of a next that isMissing.
func (i *routeIndex) missing(next, guarded echo.HandlerFunc) echo.HandlerFunc {
	if code := codeOf(next); code == echoNotFound || code == echoMethodNotAllowed {
		guarded = nil
	}
	return (&missing{i, guarded}).answer
}

func (m *missing) answer(c echo.Context) error {
	e, r := c.Echo(), c.Request()
	router, ok := e.Routers()[r.Host]
	if !ok {
		router = e.Router()
	}
	own := m.index.methods(router, c.Path())
	exists := slices.Contains(own, r.Method)
	if m.guarded != nil && (exists || servesOwn(c)) {
		return m.guarded(c)
	}
	allowed := allowedMethods(c, router, own)
	if exists || len(allowed) == 0 { // exists: a route that answers 404
		return orElse(echo.NotFoundHandler, echo.ErrNotFound)(c)
	}
	allow := "OPTIONS, " + strings.Join(allowed, ", ")
	if r.Method == http.MethodOptions {
		c.Response().Header().Set(echo.HeaderAllow, allow)
		return c.NoContent(http.StatusNoContent)
	}
	c.Set(echo.ContextKeyHeaderAllow, allow) // where Echo's router puts it, and its handler finds it
	return orElse(echo.MethodNotAllowedHandler, echo.ErrMethodNotAllowed)(c)
}

// servesOwn reports whether the router chose the app's own handler for a missing
// route, in no group: the guard is one of Echo.Use, and what the app serves there,
// such as a proxy, is behind it.
func servesOwn(c echo.Context) bool {
	switch code := codeOf(c.Handler()); code {
	case echoNotFound, echoMethodNotAllowed:
		return false
	default:
		return code == codeOf(echo.NotFoundHandler) || code == codeOf(echo.MethodNotAllowedHandler)
	}
}

func orElse(h echo.HandlerFunc, err error) echo.HandlerFunc {
	if h == nil {
		return func(echo.Context) error { return err }
	}
	return h
}

// Echo lists OPTIONS first in Allow, and it is never among a route's own methods
// here, because the router would have found it.
var methods = [...]string{
	http.MethodConnect, http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch,
	http.MethodPost, echo.PROPFIND, http.MethodPut, http.MethodTrace, echo.REPORT,
}

// allowedMethods asks the router that routed the request under which other methods
// it would have found a handler. own are the methods of routes with the pattern of the
// catch-all: Find does not tell these from the catch-all itself.
func allowedMethods(c echo.Context, router *echo.Router, own []string) []string {
	e, r := c.Echo(), c.Request()
	probe := e.AcquireContext()
	defer e.ReleaseContext(probe)
	var allowed []string
	for _, method := range methods {
		probe.Reset(r, nil)
		router.Find(method, echo.GetPath(r), probe)
		found := probe.Path() != "" && probe.Path() != c.Path()
		if found || slices.Contains(own, method) {
			allowed = append(allowed, method)
		}
	}
	probe.Reset(nil, nil) // the pool must not keep the request alive
	return allowed
}

func (i *routeIndex) methods(router *echo.Router, pattern string) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	patterns := i.routers[router]
	if patterns == nil {
		patterns = map[string][]string{}
		for _, route := range router.Routes() {
			if route.Method != echo.RouteNotFound {
				patterns[route.Path] = append(patterns[route.Path], route.Method)
			}
		}
		if i.routers == nil {
			i.routers = map[*echo.Router]map[string][]string{}
		}
		i.routers[router] = patterns
	}
	return patterns[pattern]
}
