package middleware

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
)

func TestGivenToken(t *testing.T) {
	t.Parallel()
	token := &Token{ClientID: "reporter", Audience: []string{testAudience}, Scopes: []string{"orders:read", "orders:write"}}
	c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", http.NoBody), httptest.NewRecorder())
	SetToken(c, token)
	ctx := WithToken(t.Context(), token)
	request := echo.New().NewContext(httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody), httptest.NewRecorder())
	for name, read := range map[string]func() *Token{
		"WithToken":         func() *Token { return TokenFromContext(ctx) },
		"a context further": func() *Token { further, end := context.WithCancel(ctx); defer end(); return TokenFromContext(further) },
		"SetToken":          func() *Token { return TokenFrom(c) },
		"Echo's request":    func() *Token { return TokenFrom(request) },
	} {
		got := read()
		if got == nil || got.ClientID != "reporter" || !got.HasScope("orders:write") || got.HasScope("orders") || got.HasScope("") {
			t.Fatalf("%s: %+v", name, got)
		}
		got.Scopes[0], got.Audience[0] = "admin", "elsewhere" // the handler's own copy
		if again := read(); again.Scopes[0] != "orders:read" || again.Audience[0] != testAudience {
			t.Errorf("%s: a handler changed the next one's token to %+v", name, again)
		}
	}
	token.Scopes[0] = "admin"
	if TokenFrom(c).HasScope("admin") || TokenFromContext(ctx).HasScope("admin") {
		t.Error("the test changed the token after it had given it")
	}
	SetToken(c, nil)
	if TokenFrom(c) != nil || TokenFromContext(WithToken(ctx, nil)) != nil {
		t.Error("there is a token after nil was given")
	}
	SetToken(nil, token) // does nothing
}

// A scope with a space does not exist, so no token has it, nor one that a test wrote.
func TestGivenScopes(t *testing.T) {
	t.Parallel()
	token := &Token{Scopes: []string{"a b", "", "c"}}
	for scope, want := range map[string]bool{"a b": false, "a": false, "b": false, "": false, "c": true} {
		if token.HasScope(scope) != want {
			t.Errorf("HasScope(%q) is %v", scope, !want)
		}
	}
}

func TestGivenClaims(t *testing.T) {
	t.Parallel()
	expires := time.Unix(1_900_000_000, 5)
	token := &Token{
		Issuer: "i", Subject: "s", ClientID: "c", ID: "j", Audience: []string{"a"}, Scopes: []string{"x", "y"},
		ExpiresAt: expires, IssuedAt: expires.Add(-time.Hour), NotBefore: expires.Add(-time.Minute),
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"iss": "i", "sub": "s", "client_id": "c", "jti": "j", "scope": "x y", "exp": 1.9e9, "iat": 1.9e9 - 3600, "nbf": 1.9e9 - 60,
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if aud, ok := claims["aud"].([]any); !ok || !slices.Equal(aud, []any{"a"}) || len(claims) != 9 {
		t.Errorf("claims are %v", claims)
	}
	var some struct {
		ClientID string `json:"client_id"`
		Tenant   string
	}
	if err := (&Token{ClientID: "c"}).Claims(&some); err != nil || some.ClientID != "c" || some.Tenant != "" {
		t.Errorf("%+v, %v", some, err)
	}
}

// A token that the program gave is not one that a guard has verified, whatever the
// order of the two.
func TestGivenTokenPassesNoGuard(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	auth, err := New(Config{Issuer: testIssuer, Audience: testAudience, Keys: keys, CacheSize: *cacheSize})
	if err != nil {
		t.Fatal(err)
	}
	admin := &Token{Issuer: testIssuer, ClientID: "admin", Audience: []string{testAudience}, Scopes: []string{"admin"}}
	give := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(WithToken(r.Context(), admin)))
		})
	}
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(TokenFromContext(r.Context()).ClientID)) // an httptest.ResponseRecorder
	})
	app := echo.New()
	set := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error { SetToken(c, admin); return next(c) }
	}
	whoEcho := func(c echo.Context) error { return c.String(http.StatusOK, TokenFrom(c).ClientID) }
	app.GET("/guard-last", whoEcho, set, auth.Require())
	app.GET("/scope", whoEcho, set, auth.Require("admin"))
	app.GET("/between", whoEcho, auth.Require(), set, auth.Require("admin"))
	app.GET("/guard-first", whoEcho, auth.Require(), set)
	wrapped := echo.WrapMiddleware(func(next http.Handler) http.Handler { return auth.Handler(next) })
	app.GET("/wrapped-last", whoEcho, set, wrapped)
	app.GET("/wrapped-first", whoEcho, wrapped, set)
	app.GET("/between-wrapped-and-guard", whoEcho, wrapped, set, auth.Require())
	app.GET("/between-guard-and-wrapped", whoEcho, auth.Require(), set, wrapped)

	good := "Bearer " + goodToken(t, keys)
	for name, tt := range map[string]struct {
		in            http.Handler
		path          string
		without, with int
		client        string
	}{
		"Handler":          {give(auth.Handler(who)), "/", 401, 200, "app1"},
		"Handler, scope":   {give(auth.Handler(who, "admin")), "/", 401, 403, ""},
		"between Handlers": {auth.Handler(give(auth.Handler(who, "admin"))), "/", 401, 403, ""},
		"behind a Handler": {auth.Handler(give(who)), "/", 401, 200, "admin"},
		"Require":          {app, "/guard-last", 401, 200, "app1"},
		"Require, scope":   {app, "/scope", 401, 403, ""},
		"between Requires": {app, "/between", 401, 403, ""},
		"behind a Require": {app, "/guard-first", 401, 200, "admin"},

		"wrapped Handler":                         {app, "/wrapped-last", 401, 200, "app1"},
		"behind a wrapped Handler":                {app, "/wrapped-first", 401, 200, "admin"},
		"between a wrapped Handler and a Require": {app, "/between-wrapped-and-guard", 401, 200, "app1"},
		"between a Require and a wrapped Handler": {app, "/between-guard-and-wrapped", 401, 200, "app1"},
	} {
		if w := ask(tt.in, http.MethodGet, tt.path); w.Code != tt.without {
			t.Errorf("%s: status %d without a token, want %d", name, w.Code, tt.without)
		}
		w := ask(tt.in, http.MethodGet, tt.path, good)
		if w.Code != tt.with || tt.client != "" && strings.TrimSpace(w.Body.String()) != tt.client {
			t.Errorf("%s: status %d, %s, want %d, %s", name, w.Code, w.Body, tt.with, tt.client)
		}
	}
}
