package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// Skipper decides whether to leave a request unchecked. Echo's own
// middleware.Skipper fits.
type Skipper = func(c echo.Context) bool

// ErrorHandler turns a refusal into the error a middleware returns.
type ErrorHandler = func(c echo.Context, err error) error

// verdictKey is where the context keeps a *verdict. Its type is not exported, so
// nobody else can put one there.
const verdictKey = "m2m.verdict"

// TokenFrom gives the valid token of this request, or nil when no Require has run
// or a [Skipper] skipped it. Each call makes one. Outside the guarded handler, in
// an [ErrorHandler] say, it is there also when its scopes were refused.
func TokenFrom(c echo.Context) *Token {
	if v, ok := c.Get(verdictKey).(*verdict); ok {
		return v.token()
	}
	return nil
}

// Require lets a request in with a valid token that was granted all the scopes;
// with none named, any valid token. A scope that cannot exist (RFC 6749 §3.3: the
// empty one, or one with a space) lets nobody in.
//
// A second Require of the same Bearer on a route, such as a group's and a
// handler's, verifies the token once. One of another Bearer verifies it anew.
func (b *Bearer) Require(scopes ...string) echo.MiddlewareFunc {
	return b.requireScopes(newScopeRule(scopes, false))
}

// RequireAny lets a request in with a valid token that was granted at least one
// of the scopes. With none named it lets nobody in.
func (b *Bearer) RequireAny(scopes ...string) echo.MiddlewareFunc {
	return b.requireScopes(newScopeRule(scopes, true))
}

func (b *Bearer) requireScopes(rule *scopeRule) echo.MiddlewareFunc {
	return b.guard(func(_ echo.Context, v *verdict) error {
		if e := rule.check(v.client.scope); e != nil {
			return e
		}
		return nil
	})
}

// RequireFunc lets a request in with a valid token for which check returns nil.
// check runs after all validation, so the token is to be believed. An
// *echo.HTTPError it returns goes to Echo as it is, an *[Error] is answered with
// its challenge, and any other error is a 403 whose cause stays private.
func (b *Bearer) RequireFunc(check func(c echo.Context, t *Token) error) echo.MiddlewareFunc {
	if check == nil {
		return refuseAll
	}
	return b.guard(func(c echo.Context, v *verdict) error { return check(c, v.token()) })
}

// guard is the middleware. Echo calls it at every request, not once a route, so
// all it does is close over next.
func (b *Bearer) guard(check func(c echo.Context, v *verdict) error) echo.MiddlewareFunc {
	if !b.usable() {
		return refuseAll
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		if guardsNothing(next) {
			return routeMissing
		}
		return func(c echo.Context) error {
			if b.skipper != nil && b.skipper(c) {
				return next(c)
			}
			prior, _ := c.Get(verdictKey).(*verdict)
			v, e := b.authenticate(c.Request(), prior)
			if e != nil {
				return b.refuse(c, nil, e)
			}
			if v != prior {
				c.Set(verdictKey, v)
				if b.contextKey != "" {
					c.Set(b.contextKey, v.token())
				}
			}
			if err := check(c, v); err != nil {
				return b.refuse(c, v, err)
			}
			if b.observe != nil {
				b.report(c.Request().Context(), v, 0, "", nil)
			}
			return next(c)
		}
	}
}

// refuse turns a refusal into what Echo's error handler knows how to answer.
func (b *Bearer) refuse(c echo.Context, v *verdict, err error) error {
	ctx := c.Request().Context()
	if he, ok := err.(*echo.HTTPError); ok && he != nil { //nolint:errorlint // Echo's handler looks no deeper either
		b.report(ctx, v, he.Code, "", he)
		return he
	}
	e, ok := err.(*Error) //nolint:errorlint // a wrapped one was not meant as the answer
	if isNilPointer(err) {
		err = fmt.Errorf("middleware: the check of RequireFunc returned a nil %T as its error", err)
	}
	if !ok || e == nil || e.Status < 400 || e.Status > 599 {
		e = insufficientScope("", err)
	}
	b.announce(c.Response().Header(), e)
	b.report(ctx, v, e.Status, e.Code, e)
	refusal := &echo.HTTPError{Code: e.Status, Message: e.Description, Internal: e}
	if b.errorHandler != nil {
		if err := b.errorHandler(c, refusal); err != nil || c.Response().Committed {
			return err
		}
		// It neither answered nor returned an error: that must not be a 200.
	}
	return refusal
}

// refuseAll stands where a guard could not be made. The app starts, for New's
// error may have been ignored, but nothing behind it is served.
func refuseAll(echo.HandlerFunc) echo.HandlerFunc {
	return func(echo.Context) error {
		e := misconfigured(errors.New("middleware: Require of a nil Bearer, or RequireFunc of a nil func: check the error of New"))
		return echo.NewHTTPError(e.Status, e.Description).SetInternal(e)
	}
}

// guardsNothing reports whether next is Echo's own "not found" or "method not
// allowed", as they were when this package started, or our stand-in for them.
// Group.Use registers catch-all routes of the former; guarded, they would turn
// unknown paths, wrong methods and OPTIONS into 401. Functions that share code
// cannot be told apart, so what is recognised here is never called, only answered
// for: a mistake would be a 404, not a way past the guard.
func guardsNothing(next echo.HandlerFunc) bool {
	code := codeOf(next)
	return code == echoNotFound || code == echoMethodNotAllowed || code == ourRouteMissing
}

var (
	echoNotFound         = codeOf(echo.NotFoundHandler)
	echoMethodNotAllowed = codeOf(echo.MethodNotAllowedHandler)
	ourRouteMissing      = codeOf(routeMissing)
)

func codeOf(h echo.HandlerFunc) uintptr { return reflect.ValueOf(h).Pointer() }

// routeMissing answers as Echo would had the group no catch-all routes.
func routeMissing(c echo.Context) error {
	allowed := allowedMethods(c)
	if len(allowed) == 0 || slices.Contains(allowed, c.Request().Method) { // the latter is a route that says 404
		return echo.ErrNotFound
	}
	c.Response().Header().Set(echo.HeaderAllow, "OPTIONS, "+strings.Join(allowed, ", "))
	if c.Request().Method == http.MethodOptions {
		return c.NoContent(http.StatusNoContent)
	}
	return echo.ErrMethodNotAllowed
}

// Echo lists OPTIONS first in Allow, and it is never among a route's own methods
// here: had it been, the router would have found it.
var methods = [...]string{
	http.MethodConnect, http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch,
	http.MethodPost, echo.PROPFIND, http.MethodPut, http.MethodTrace, echo.REPORT,
}

// allowedMethods asks the router that routed the request under which other
// methods it would have found a handler.
func allowedMethods(c echo.Context) []string {
	e, r := c.Echo(), c.Request()
	router, ok := e.Routers()[r.Host]
	if !ok {
		router = e.Router()
	}
	// A route of the very pattern of the catch-all cannot be told from it by what
	// Find says; the list of routes can.
	var samePattern []string
	for _, route := range router.Routes() {
		if route.Path == c.Path() {
			samePattern = append(samePattern, route.Method)
		}
	}
	probe := e.AcquireContext()
	defer e.ReleaseContext(probe)
	var allowed []string
	for _, method := range methods {
		probe.Reset(r, nil)
		router.Find(method, echo.GetPath(r), probe)
		found := probe.Path() != "" && probe.Path() != c.Path()
		if found || slices.Contains(samePattern, method) {
			allowed = append(allowed, method)
		}
	}
	probe.Reset(nil, nil) // the pool must not keep the request alive
	return allowed
}
