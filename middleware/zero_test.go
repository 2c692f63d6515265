package middleware

import (
	"errors"
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
)

// The zero value of every exported type, and nil where there may be a pointer, is
// safe: no method panics, and nothing is let in.
func TestZeroValues(t *testing.T) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served") })
	a := &api{Echo: echo.New()}
	var none *Bearer
	for name, b := range map[string]*Bearer{"nil": none, "zero": {}} {
		for kind, h := range map[string]http.Handler{
			"Handler": b.Handler(next), "HandlerOptional": b.HandlerOptional(next), "HandlerBound": b.HandlerBound(next), "ExplainHandler": b.ExplainHandler("a"),
			"HandlerAny": b.HandlerAny(next, "a"), "Handler of nil": b.Handler(nil),
			"HandlerFunc":        b.HandlerFunc(next, func(*http.Request, *Token) error { return nil }),
			"HandlerFunc of nil": b.HandlerFunc(next, nil),
		} {
			if w := ask(h, http.MethodGet, "/", "Bearer x"); w.Code != http.StatusInternalServerError {
				t.Errorf("%s Bearer: %s: status %d", name, kind, w.Code)
			}
		}
		for kind, m := range map[string]echo.MiddlewareFunc{
			"Optional": b.Optional(), "Require": b.Require(), "RequireAny": b.RequireAny("a"), "RequireFunc": b.RequireFunc(nil), "Echo": b.Echo(EchoOptions{}).Require(),
		} {
			a.GET("/"+name+kind, a.serve, m)
			if w := a.get("/"+name+kind, "Bearer x"); w.Code != http.StatusInternalServerError || len(a.tokens) > 0 {
				t.Errorf("%s Bearer: %s: status %d", name, kind, w.Code)
			}
		}
		if err := b.Close(); err != nil {
			t.Errorf("%s Bearer: Close: %v", name, err)
		}
	}
	for kind, m := range map[string]echo.MiddlewareFunc{
		"Require": EchoGuard{}.Require(), "Optional": EchoGuard{}.Optional(), "RequireAny": EchoGuard{}.RequireAny(), "RequireFunc": EchoGuard{}.RequireFunc(nil),
		"-key": newAPI(t, Config{Keys: newKeyring(t, ecKey)}).auth.Echo(EchoOptions{ContextKey: tokenKey}).Require(),
	} {
		a.GET("/guard"+kind, a.serve, m)
		if w := a.get("/guard"+kind, "Bearer x"); w.Code != http.StatusInternalServerError || len(a.tokens) > 0 {
			t.Errorf("zero EchoGuard: %s: status %d", kind, w.Code)
		}
		if refused := m(a.serve)(a.NewContext(nil, nil)); errors.Is(refused, errContextKey) != (kind == "-key") {
			t.Errorf("zero EchoGuard: %s: %v", kind, refused)
		}
	}
	var token *Token
	for name, tok := range map[string]*Token{"nil": token, "zero": {}} {
		if tok.HasScope("") || tok.HasScope("a") || tok.Claims(&struct{}{}) == nil {
			t.Errorf("%s Token has something", name)
		}
	}
	var e *Error
	for name, e := range map[string]*Error{"nil": e, "zero": {}} {
		if e.Error() == "" || errors.Unwrap(e) != nil {
			t.Errorf("%s Error: %q, %v", name, e.Error(), errors.Unwrap(e))
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a zero Config is taken")
	}
	if TokenFrom(nil) != nil || TokenFrom(echo.New().NewContext(nil, nil)) != nil || TokenFromContext(t.Context()) != nil {
		t.Error("a token out of nothing")
	}
}
