package middleware

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Where Echo's context keeps an admission. Other packages cannot put one there, for
// its types are not exported. They are two pointers, since a struct would be
// allocated at each request.
const (
	tokenKey = "m2m.token" // *verified, or a *given of SetToken
	watchKey = "m2m.watch" // *watch
)

// TokenFrom returns the valid token of this request, or nil when no guard has let
// it in or a Skipper skipped it:
//
//	func list(c echo.Context) error {
//		return c.String(http.StatusOK, "orders of "+bearer.TokenFrom(c).ClientID)
//	}
//
// Each call makes one. It also finds the token of a
// [Bearer.Handler] that was put in by echo.WrapMiddleware. Outside the guarded
// handler, such as in an ErrorHandler, it is also there if its scopes were refused.
// A test may give the token itself: [SetToken].
func TokenFrom(c echo.Context) *Token {
	if c == nil {
		return nil
	}
	if v, ok := c.Get(tokenKey).(*verified); ok {
		return v.token()
	}
	if c.Request() == nil {
		return nil
	}
	return TokenFromContext(c.Request().Context())
}

// SetToken gives a request a token, as [WithToken] does: [TokenFrom] returns copies of
// it. It is for the test of one handler, without its guard:
//
//	c := echo.New().NewContext(httptest.NewRequest("GET", "/orders", nil), w)
//	bearer.SetToken(c, &bearer.Token{ClientID: "reporter", Scopes: []string{"orders:read"}})
//	err := handler(c)
//
// All that [WithToken] says of net/http is true here: nothing is checked, and no guard
// accepts the token. [EchoOptions.ContextKey] is not set.
func SetToken(c echo.Context, t *Token) {
	if c == nil {
		return
	}
	r := cmp.Or(c.Request(), new(http.Request))
	c.SetRequest(r.WithContext(WithToken(r.Context(), t)))
	c.Set(tokenKey, nil) // an outer guard's
}

// Require lets a request in with a valid token that was granted all the scopes;
// with none named, any valid token. With a scope that cannot exist (RFC 6749,
// section 3.3: the empty one, or one with a space) it lets no request in.
//
//	v1 := e.Group("/v1", auth.Require())                 // any valid token
//	v1.GET("/orders", list, auth.Require("orders:read")) // and this scope
//
// It does NOT check whether the token was revoked, unless [Config.Revoked] or
// [Config.Introspection] is set.
//
// A second Require of the same Bearer on a route, such as a group's and a
// handler's, verifies the token once. One of another Bearer verifies it anew.
func (b *Bearer) Require(scopes ...string) echo.MiddlewareFunc {
	return b.Echo(EchoOptions{}).Require(scopes...)
}

// RequireAny lets a request in with a valid token that was granted at least one
// of the scopes. With none named it lets no request in.
func (b *Bearer) RequireAny(scopes ...string) echo.MiddlewareFunc {
	return b.Echo(EchoOptions{}).RequireAny(scopes...)
}

// RequireBound is [Bearer.Require] for tokens that are bound to a key of the client. A plain
// bearer token is refused with 401. It needs [Config.DPoP] or [Config.ClientCertificates];
// with neither it lets no request in.
func (b *Bearer) RequireBound(scopes ...string) echo.MiddlewareFunc {
	return b.Echo(EchoOptions{}).RequireBound(scopes...)
}

// RequireFunc lets a request in with a valid token for which check returns nil.
// check runs after all validation. An *echo.HTTPError that it returns goes to Echo as it
// is, with a challenge if it is a 401. An *[Error] is answered with its challenge. Any
// other error is a 403 whose cause stays private.
func (b *Bearer) RequireFunc(check func(c echo.Context, t *Token) error) echo.MiddlewareFunc {
	return b.Echo(EchoOptions{}).RequireFunc(check)
}

// Optional lets a request in without a credential, and then [TokenFrom] is nil. One with a
// credential needs a valid token with all the scopes, as with [Bearer.Require]. See
// [Bearer.HandlerOptional] for what a credential is.
func (b *Bearer) Optional(scopes ...string) echo.MiddlewareFunc {
	return b.Echo(EchoOptions{}).Optional(scopes...)
}

// Mount adds the route of [Bearer.ResourceMetadata]. It is public, so the app must have no
// guard for all routes (echo.Use). Without [Config.Resource] it adds none.
func (b *Bearer) Mount(e *echo.Echo) {
	if e == nil || !b.usable() || b.resource == nil {
		return
	}
	path, h := b.ResourceMetadata()
	e.Match([]string{http.MethodGet, http.MethodHead}, path, echo.WrapHandler(h))
}

// EchoOptions are options that Echo's own middleware has too. All are optional.
type EchoOptions struct {
	// Skipper, when it returns true, calls the next handler with no check at all
	// and no token. Default never. Decide by c.Path(), the route: the raw path of
	// a request has many spellings. Echo's own middleware.Skipper fits.
	Skipper func(c echo.Context) bool

	// ErrorHandler turns a refusal into what the middleware returns. Headers are
	// set by then. The handler behind is not called even if it returns nil; if
	// it has not answered either, the refusal itself is returned.
	// Default: the refusal itself, an *echo.HTTPError around an *[Error].
	ErrorHandler func(c echo.Context, err error) error

	// ContextKey is a name under which c.Get finds a *[Token], one for all handlers
	// of a request, also if its scopes were refused. Default none:
	// [TokenFrom] makes one when a handler asks for it. With a name that this
	// package uses ("m2m.token", "m2m.watch") the guard answers 500.
	ContextKey string
}

// EchoGuard makes Echo middleware of one [Bearer] with [EchoOptions]. The zero
// EchoGuard answers 500.
type EchoGuard struct {
	bearer  *Bearer
	options EchoOptions
}

// Echo returns an EchoGuard with these options. It shares the Bearer's cache, and
// a token that one of them has verified is not verified again by the other.
func (b *Bearer) Echo(options EchoOptions) EchoGuard {
	return EchoGuard{bearer: b, options: options}
}

// Require is [Bearer.Require] with the options.
func (g EchoGuard) Require(scopes ...string) echo.MiddlewareFunc {
	return g.requireScopes(newScopeRule(scopes, false), g.bearer.requiresBound())
}

// RequireAny is [Bearer.RequireAny] with the options.
func (g EchoGuard) RequireAny(scopes ...string) echo.MiddlewareFunc {
	return g.requireScopes(newScopeRule(scopes, true), g.bearer.requiresBound())
}

// RequireBound is [Bearer.RequireBound] with the options.
func (g EchoGuard) RequireBound(scopes ...string) echo.MiddlewareFunc {
	return g.requireScopes(newScopeRule(scopes, false), true)
}

// Optional is [Bearer.Optional] with the options.
func (g EchoGuard) Optional(scopes ...string) echo.MiddlewareFunc {
	rule := newScopeRule(scopes, false)
	return g.guard(echoGuard{mustBind: g.bearer.requiresBound(), optional: rule.cause == nil, check: rule.echoCheck()})
}

func (g EchoGuard) requireScopes(rule *scopeRule, mustBind bool) echo.MiddlewareFunc {
	return g.guard(echoGuard{mustBind: mustBind, check: rule.echoCheck()})
}

func (s *scopeRule) echoCheck() func(echo.Context, *verified) error {
	return func(_ echo.Context, v *verified) error {
		if e := s.check(v.scope); e != nil {
			return e
		}
		return nil
	}
}

// RequireFunc is [Bearer.RequireFunc] with the options.
func (g EchoGuard) RequireFunc(check func(c echo.Context, t *Token) error) echo.MiddlewareFunc {
	if check == nil {
		check = func(echo.Context, *Token) error { return misconfigured(errNoCheck) }
	}
	return g.guard(echoGuard{mustBind: g.bearer.requiresBound(), check: func(c echo.Context, v *verified) error { return check(c, v.token()) }})
}

// guard is the middleware of an echoGuard that has what it demands.
func (g EchoGuard) guard(made echoGuard) echo.MiddlewareFunc {
	b := g.bearer
	if cause := b.fault(made.mustBind); cause != nil {
		return refuseAll(cause)
	}
	if key := g.options.ContextKey; key == tokenKey || key == watchKey {
		return refuseAll(errContextKey)
	}
	made.bearer, made.options = g.bearer, g.options
	// Echo calls this at every request, not once for a route, so it must be cheap.
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		guarded := func(c echo.Context) error { return made.serve(c, next) }
		if isMissing(next) {
			return b.routes.missing(next, guarded)
		}
		return guarded
	}
}

// echoGuard is one Require, RequireAny, RequireFunc or Optional.
type echoGuard struct {
	bearer   *Bearer
	options  EchoOptions
	mustBind bool
	optional bool // a request without a credential is let in
	check    func(c echo.Context, v *verified) error
}

func (g *echoGuard) serve(c echo.Context, next echo.HandlerFunc) error {
	if g.options.Skipper != nil && g.options.Skipper(c) {
		return next(c)
	}
	if g.optional && isAnonymous(c.Request()) {
		return g.serveAnonymous(c, next)
	}
	prior := g.prior(c)
	var extract addressOf
	if e := c.Echo(); e != nil {
		extract = e.IPExtractor // asked per request: the app may set it late
	}
	b, a, e := g.bearer.admit(c.Response(), c.Request(), prior, extract, g.mustBind)
	if e != nil {
		return g.refuse(c, b, e)
	}
	if r := c.Request(); g.keep(c, a, prior) {
		defer func() { returnForm(r, c.Request()) }()
	}
	return g.serveAdmitted(c, b, a, prior, next)
}

// serveAdmitted checks what a valid token permits.
func (g *echoGuard) serveAdmitted(c echo.Context, b *Bearer, a, prior admission, next echo.HandlerFunc) error {
	began := b.clock()
	if err := g.check(c, a.token); err != nil {
		return g.refuseByCheck(c, b, a, began, err)
	}
	if a.watch != prior.watch {
		defer b.reportAdmission(c.Request().Context(), a)
	}
	return next(c)
}

// refuseByCheck answers a request that the check refuses.
func (g *echoGuard) refuseByCheck(c echo.Context, b *Bearer, a admission, began time.Time, err error) error {
	if he, ok := err.(*echo.HTTPError); ok && he != nil { //nolint:errorlint // as Echo's handler does
		b.reportRefusal(c.Request().Context(), a, began, Event{Reason: event.Forbidden, Status: he.Code, Err: he})
		if h := c.Response().Header(); he.Code == http.StatusUnauthorized && h.Get("Www-Authenticate") == "" {
			b.announce(h, c.Request(), &Error{Status: he.Code}, g.mustBind) // RFC 9110, section 15.5.2: every 401 has one
		}
		return he
	}
	return g.refuse(c, b, b.reported(c.Request(), a, began, refusal(err)))
}

func (g *echoGuard) serveAnonymous(c echo.Context, next echo.HandlerFunc) error {
	r := c.Request()
	in, done := g.bearer.anonymous(r)
	defer done()
	if in != r {
		c.SetRequest(in)
		defer func() { returnForm(r, c.Request()) }()
	}
	return next(c)
}

// prior is how an earlier guard of the same Bearer let the request in.
func (g *echoGuard) prior(c echo.Context) (a admission) {
	a.token, _ = c.Get(tokenKey).(*verified)
	if g.bearer.observe != nil || g.bearer.members != nil {
		a.watch, _ = c.Get(watchKey).(*watch)
	}
	if own := g.bearer.own(a); own.token != nil {
		return own
	}
	// A Handler that echo.WrapMiddleware puts around this one. Only the context itself is
	// checked: a search would cost every request more than it saves.
	if outer, ok := c.Request().Context().(*admitted); ok {
		return g.bearer.own(outer.admission)
	}
	return admission{}
}

// keep stores the admission for handlers and for further guards. One by a bound token goes
// into the context of the request too, where every guard finds it: a proof cannot be checked
// twice. keep reports whether it has replaced the request.
func (g *echoGuard) keep(c echo.Context, a, prior admission) (replaced bool) {
	if a.token != prior.token {
		c.Set(tokenKey, a.token)
	}
	if a.watch != prior.watch {
		c.Set(watchKey, a.watch)
	}
	if key := g.options.ContextKey; key != "" && (a.token != prior.token || c.Get(key) == nil) {
		c.Set(key, a.token.token())
	}
	if a.token.bound == nil || a == prior {
		return false
	}
	r := c.Request()
	c.SetRequest(r.WithContext(&admitted{r.Context(), a}))
	return true
}

// refuse turns a refusal by a Bearer into what Echo's error handler knows how to answer.
func (g *echoGuard) refuse(c echo.Context, by *Bearer, e *Error) error {
	by.announce(c.Response().Header(), c.Request(), e, g.mustBind)
	refused := &echo.HTTPError{Code: e.Status, Message: e.Description, Internal: e}
	if g.options.ErrorHandler != nil {
		if err := g.options.ErrorHandler(c, refused); err != nil || c.Response().Committed {
			return err
		}
		// It neither answered nor returned an error: that must not be a 200.
	}
	return refused
}

var errContextKey = errors.New("middleware: EchoOptions.ContextKey is a name that this package uses: write another one")

// refuseAll is the guard of a Bearer that New did not make. The app may have ignored the
// error of New; its guarded routes are not served then.
func refuseAll(cause error) echo.MiddlewareFunc {
	return func(echo.HandlerFunc) echo.HandlerFunc {
		return func(echo.Context) error {
			e := misconfigured(cause)
			return echo.NewHTTPError(e.Status, e.Description).SetInternal(e)
		}
	}
}
