package middleware

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Every check has its own Reason, on both faces, and each refusal is one event.
func TestReasonOfEveryRefusal(t *testing.T) {
	keys := newKeyring(t, ecKey)
	good := goodToken(t, keys)
	header := `{"alg":"ES256","kid":"` + kidOf(t, keys) + `","typ":"at+jwt"}`
	bad := errors.New("no")
	signed := func(claim, value string) string {
		return "Bearer " + sign(t, keys, payload(map[string]string{claim: value}))
	}
	always := func(revoked bool, err error) func(context.Context, string, string, time.Time) (bool, error) {
		return func(context.Context, string, string, time.Time) (bool, error) { return revoked, err }
	}
	for name, tt := range map[string]struct {
		config        Config
		authorization []string
		target        string
		want          Event
		verified      bool
	}{
		"no header":         {want: Event{Reason: event.NoToken, Status: 401}},
		"another scheme":    {authorization: []string{"Basic x"}, want: Event{Reason: event.NoToken, Status: 401}},
		"two headers":       {authorization: []string{"Bearer x", "Bearer y"}, want: Event{Reason: event.MalformedRequest, Status: 400, Code: "invalid_request"}},
		"two in one header": {authorization: []string{"Bearer x, Bearer y"}, want: Event{Reason: event.MalformedRequest, Status: 400, Code: "invalid_request"}},
		"no token":          {authorization: []string{"Bearer "}, want: Event{Reason: event.MalformedRequest, Status: 400, Code: "invalid_request"}},
		"query too":         {authorization: []string{"Bearer x"}, target: "/?access_token=x", want: Event{Reason: event.MalformedRequest, Status: 400, Code: "invalid_request"}},
		"too long":          {authorization: []string{"Bearer " + strings.Repeat("a", 17<<10)}, want: Event{Reason: event.MalformedToken, Status: 401, Code: "invalid_token"}},
		"no form":           {authorization: []string{"Bearer x"}, want: Event{Reason: event.MalformedToken, Status: 401, Code: "invalid_token"}},
		"typ":               {authorization: []string{"Bearer " + forge(t, strings.Replace(header, "at+jwt", "JWT", 1), payload(nil), ecKey)}, want: Event{Reason: event.WrongTokenType, Status: 401, Code: "invalid_token"}},
		"kid":               {authorization: []string{"Bearer " + forge(t, `{"alg":"ES256","kid":"x","typ":"at+jwt"}`, payload(nil), ecKey)}, want: Event{Reason: event.UnknownKey, Status: 401, Code: "invalid_token"}},
		"signature":         {authorization: []string{"Bearer " + forge(t, header, payload(nil), strangeKey)}, want: Event{Reason: event.BadSignature, Status: 401, Code: "invalid_token"}},
		"no JSON":           {authorization: []string{"Bearer " + sign(t, keys, "x")}, want: Event{Reason: event.InvalidClaims, Status: 401, Code: "invalid_token"}},
		"claim missing":     {authorization: []string{signed("jti", "")}, want: Event{Reason: event.InvalidClaims, Status: 401, Code: "invalid_token"}},
		"claim's type":      {authorization: []string{signed("exp", `"x"`)}, want: Event{Reason: event.InvalidClaims, Status: 401, Code: "invalid_token"}},
		"iss":               {authorization: []string{signed("iss", `"x"`)}, want: Event{Reason: event.WrongIssuer, Status: 401, Code: "invalid_token"}},
		"aud":               {authorization: []string{signed("aud", `"x"`)}, want: Event{Reason: event.WrongAudience, Status: 401, Code: "invalid_token"}},
		"cnf":               {authorization: []string{signed("cnf", `{}`)}, want: Event{Reason: event.SenderConstrained, Status: 401, Code: "invalid_token"}},
		"exp":               {authorization: []string{signed("exp", "1")}, want: Event{Reason: event.Expired, Status: 401, Code: "invalid_token"}},
		"nbf":               {authorization: []string{signed("nbf", "9999999999")}, want: Event{Reason: event.NotYetValid, Status: 401, Code: "invalid_token"}},
		"iat":               {authorization: []string{signed("iat", "9999999999")}, want: Event{Reason: event.NotYetValid, Status: 401, Code: "invalid_token"}},
		"revoked":           {config: Config{Revoked: always(true, nil)}, authorization: []string{"Bearer " + good}, want: Event{Reason: event.Revoked, Status: 401, Code: "invalid_token"}},
		"cannot tell":       {config: Config{Revoked: always(false, bad)}, authorization: []string{"Bearer " + good}, want: Event{Reason: event.RevocationsUnavailable, Status: 503, Code: "temporarily_unavailable", Err: bad}},
		"no introspection":  {config: Config{Introspection: &Introspection{Endpoint: "http://127.0.0.1:1/", ClientID: "api", ClientSecret: "s"}}, authorization: []string{"Bearer " + good}, want: Event{Reason: event.RevocationsUnavailable, Status: 503, Code: "temporarily_unavailable"}},
		"no keys": {config: Config{Keys: sourceFunc(func(context.Context, string) (*jose.Key, error) { return nil, jwks.ErrUnavailable })}, authorization: []string{"Bearer " + good},
			want: Event{Reason: event.KeysUnavailable, Status: 503, Code: "temporarily_unavailable", Err: jwks.ErrUnavailable}},
		"scope":             {target: "/admin", authorization: []string{"Bearer " + good}, want: Event{Reason: event.InsufficientScope, Status: 403, Code: "insufficient_scope"}, verified: true},
		"any scope":         {target: "/any", authorization: []string{"Bearer " + good}, want: Event{Reason: event.InsufficientScope, Status: 403, Code: "insufficient_scope"}, verified: true},
		"any of none":       {target: "/any-of-none", authorization: []string{"Bearer " + good}, want: Event{Reason: event.Misconfigured, Status: 403, Code: "insufficient_scope"}, verified: true},
		"impossible scope":  {target: "/impossible", authorization: []string{"Bearer " + good}, want: Event{Reason: event.Misconfigured, Status: 403, Code: "insufficient_scope"}, verified: true},
		"app's check":       {target: "/check", authorization: []string{"Bearer " + good}, want: Event{Reason: event.Forbidden, Status: 403, Code: "insufficient_scope", Err: bad}, verified: true},
		"app's own Error":   {target: "/error", authorization: []string{"Bearer " + good}, want: Event{Reason: event.Forbidden, Status: 409, Code: "busy"}, verified: true},
		"no check":          {target: "/no-check", authorization: []string{"Bearer " + good}, want: Event{Reason: event.Misconfigured, Status: 500, Code: "server_error"}, verified: true},
		"Echo's own errors": {target: "/echo", authorization: []string{"Bearer " + good}, want: Event{Reason: event.Forbidden, Status: 404, Err: echo.ErrNotFound}, verified: true},
	} {
		t.Run(name, func(t *testing.T) {
			var events []Event
			c := tt.config
			c.Observe = func(_ context.Context, e Event) { events = append(events, e) }
			if c.Keys == nil {
				c.Keys = keys
			}
			a := newAPI(t, c)
			serve := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served") })
			mux := http.NewServeMux()
			mux.Handle("/", a.auth.Handler(serve))
			mux.Handle("/admin", a.auth.Handler(serve, "admin"))
			mux.Handle("/any", a.auth.HandlerAny(serve, "admin", "x"))
			mux.Handle("/any-of-none", a.auth.HandlerAny(serve))
			mux.Handle("/impossible", a.auth.Handler(serve, ""))
			mux.Handle("/check", a.auth.HandlerFunc(serve, func(*http.Request, *Token) error { return bad }))
			mux.Handle("/error", a.auth.HandlerFunc(serve, func(*http.Request, *Token) error { return &Error{Status: 409, Code: "busy"} }))
			mux.Handle("/no-check", a.auth.HandlerFunc(serve, nil))
			a.GET("/admin", a.serve, a.auth.Require("admin"))
			a.GET("/any", a.serve, a.auth.RequireAny("admin", "x"))
			a.GET("/any-of-none", a.serve, a.auth.RequireAny())
			a.GET("/impossible", a.serve, a.auth.Require(""))
			a.GET("/check", a.serve, a.auth.RequireFunc(func(echo.Context, *Token) error { return bad }))
			a.GET("/error", a.serve, a.auth.RequireFunc(func(echo.Context, *Token) error { return &Error{Status: 409, Code: "busy"} }))
			a.GET("/no-check", a.serve, a.auth.RequireFunc(nil))
			a.GET("/echo", a.serve, a.auth.RequireFunc(func(echo.Context, *Token) error { return echo.ErrNotFound }))
			faces := map[string]http.Handler{"Echo": a, "net/http": mux}
			if tt.target == "/echo" {
				delete(faces, "net/http")
			}
			want := tt.want
			want.Op = event.OpRequest
			late := []event.Reason{event.Expired, event.NotYetValid, event.Revoked, event.RevocationsUnavailable} // found once it was verified
			if tt.verified || slices.Contains(late, want.Reason) {
				want.ClientID, want.TokenID = "app1", "id-1"
			}
			for face, h := range faces {
				events = nil
				if tt.target == "" {
					tt.target = "/"
				}
				w := ask(h, http.MethodGet, tt.target, tt.authorization...)
				if w.Code != want.Status || len(events) != 1 || len(a.tokens) > 0 {
					t.Fatalf("%s: status %d, events %+v", face, w.Code, events)
				}
				got := events[0]
				if got.Err == nil || want.Err != nil && !errors.Is(got.Err, want.Err) {
					t.Errorf("%s: cause %v, want %v", face, got.Err, want.Err)
				}
				if got.Op != want.Op || got.Reason != want.Reason || got.Status != want.Status || got.Code != want.Code || got.ClientID != want.ClientID || got.TokenID != want.TokenID || got.Claimed {
					t.Errorf("%s: event %+v, want %+v", face, got, want)
				}
			}
		})
	}
}

// A group's guard and a route's are one request, and one event: the decision.
func TestOneEventPerRequest(t *testing.T) {
	keys := newKeyring(t, ecKey)
	var events []Event
	a := newAPI(t, Config{Keys: keys, Observe: func(_ context.Context, e Event) { events = append(events, e) }})
	during := -1
	serve := func(c echo.Context) error {
		during = len(events)
		return c.NoContent(http.StatusOK)
	}
	inner := a.auth.Echo(EchoOptions{ContextKey: "token"})
	g := a.Group("/v1", a.auth.Require())
	g.GET("/orders", serve, inner.Require("orders:read"), a.auth.RequireAny("orders:write"))
	g.GET("/admin", serve, inner.Require("admin"))
	g.GET("/fails", func(echo.Context) error { return errors.New("no") }, inner.Require())
	g.GET("/panics", func(echo.Context) error { panic("no") }, inner.Require())
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { during = len(events) })
	mux := http.NewServeMux()
	mux.Handle("/v1/orders", a.auth.Handler(a.auth.Handler(h, "orders:read")))
	mux.Handle("/v1/admin", a.auth.Handler(a.auth.Handler(h, "admin")))
	around := echo.WrapMiddleware(func(h http.Handler) http.Handler { return a.auth.Handler(h) })
	a.GET("/wrapped/orders", serve, around, a.auth.Require("orders:read"), inner.Require("orders:write"))
	a.GET("/wrapped/admin", serve, around, a.auth.Require("admin"))
	token := "Bearer " + goodToken(t, keys)
	for _, tt := range []struct {
		face, path string
		h          http.Handler
		status     int
	}{
		{"Echo", "/v1/orders", a, 0}, {"Echo", "/v1/admin", a, 403}, {"Echo", "/v1/fails", a, 0}, {"Echo", "/v1/panics", a, 0},
		{"Echo", "/wrapped/orders", a, 0}, {"Echo", "/wrapped/admin", a, 403},
		{"net/http", "/v1/orders", mux, 0}, {"net/http", "/v1/admin", mux, 403},
	} {
		events, during = nil, -1
		func() {
			defer func() { _ = recover() }()
			ask(tt.h, http.MethodGet, tt.path, token)
		}()
		if len(events) != 1 || events[0].Status != tt.status || events[0].ClientID != "app1" || (events[0].Err == nil) != (tt.status == 0) {
			t.Errorf("%s %s: events %+v", tt.face, tt.path, events)
		}
		if during > 0 {
			t.Errorf("%s %s: reported before the handler was done", tt.face, tt.path)
		}
	}
	// A Bearer that is not observed reports nothing, and hides nothing.
	quiet := benchGuard(t, Config{Keys: keys})
	a.GET("/quiet", serve, a.auth.Require(), quiet.Require())
	a.GET("/quiet-first", serve, quiet.Require(), a.auth.Require())
	for path, h := range map[string]http.Handler{
		"/quiet": a, "/quiet-first": a, "/handler": a.auth.Handler(quiet.Handler(h)), "/handler-first": quiet.Handler(a.auth.Handler(h)),
	} {
		if events = nil; ask(h, http.MethodGet, path, token).Code != http.StatusOK || len(events) != 1 {
			t.Errorf("%s: events %+v", path, events)
		}
	}
	// Two Bearers decide both.
	other := newAPI(t, Config{Keys: keys, Observe: func(_ context.Context, e Event) { events = append(events, e) }})
	a.GET("/both", serve, a.auth.Require(), other.auth.Require("orders:read"))
	if events = nil; a.get("/both", token).Code != http.StatusOK || len(events) != 2 {
		t.Errorf("two Bearers: events %+v", events)
	}
}

// Another credential behind the first guard is still the same request.
func TestOneEventOfTwoCredentials(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	lesser := sign(t, keys, payload(map[string]string{"scope": ""}))
	swap := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Request().Header.Set("Authorization", "Bearer "+lesser)
			return next(c)
		}
	}
	a.GET("/swap", a.serve, a.auth.Require(), swap, a.auth.RequireFunc(func(echo.Context, *Token) error { return nil }), a.auth.Require("orders:read"))
	if w := a.get("/swap", "Bearer "+goodToken(t, keys)); w.Code != http.StatusForbidden || len(a.events) != 1 || a.events[0].Status != 403 {
		t.Errorf("status %d, events %+v", w.Code, a.events)
	}
}

// Duration is of the checks, not of the handler.
func TestDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeyring(t, ecKey)
		a := newAPI(t, Config{Keys: sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) {
			time.Sleep(time.Second)
			return keys.Key(ctx, kid, "")
		})})
		slow := func(echo.Context, *Token) error { time.Sleep(2 * time.Second); return errors.New("no") }
		g := a.Group("/v1", a.auth.Require())
		g.GET("/slow", func(echo.Context) error { time.Sleep(time.Hour); return nil })
		g.GET("/checked", a.serve, a.auth.RequireFunc(slow))
		for i, want := range []time.Duration{time.Second, 3 * time.Second} {
			a.get([]string{"/v1/slow", "/v1/checked"}[i], "Bearer "+goodToken(t, keys))
			if got := a.events[i].Duration; got != want {
				t.Errorf("event %+v, want a Duration of %v", a.events[i], want)
			}
		}
	})
}

// The context that an observer is given is the request's.
func TestObserveSeesTheRequestsContext(t *testing.T) {
	type key struct{}
	keys := newKeyring(t, ecKey)
	seen := 0
	a := newAPI(t, Config{Keys: keys, Observe: func(ctx context.Context, _ Event) {
		if ctx.Value(key{}) == "value" {
			seen++
		}
	}})
	for _, h := range []http.Handler{a, a.auth.Handler(http.NotFoundHandler())} {
		for _, authorization := range []string{"", "Bearer " + goodToken(t, keys)} {
			r := request(http.MethodGet, "/", authorization)
			send(h, r.WithContext(context.WithValue(r.Context(), key{}, "value")))
		}
	}
	if seen != 4 {
		t.Errorf("%d of 4 events have it", seen)
	}
}

// The cause of a token that is not valid now says which claim and which time.
func TestCauseNamesTheTime(t *testing.T) {
	keys := newKeyring(t, ecKey)
	for claim, want := range map[string]string{"exp": "expired at", "nbf": "not valid before", "iat": "issued in the future, at"} {
		second := time.Now().Add(time.Hour).Truncate(time.Second)
		if claim == "exp" {
			second = second.Add(-2 * time.Hour)
		}
		var got error
		a := newAPI(t, Config{Keys: keys, Observe: func(_ context.Context, e Event) { got = e.Err }})
		ask(a, http.MethodGet, "/", "Bearer "+sign(t, keys, payload(map[string]string{claim: strconv.FormatInt(second.Unix(), 10)})))
		if want = claim + ": " + want + " " + second.UTC().String(); got == nil || !strings.HasSuffix(got.Error(), want) {
			t.Errorf("the cause is %v, want %q", got, want)
		}
	}
}
