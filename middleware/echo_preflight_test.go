package middleware

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"
)

// TRAPS: preflight answered 401 (rs/cors#1). CORS middleware goes first.
func TestPreflight(t *testing.T) {
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	cors := echomw.CORSWithConfig(echomw.CORSConfig{AllowOrigins: []string{"https://app.example"}, AllowHeaders: []string{"Authorization"}})
	for name, register := range map[string]routes{
		"CORS on the app, guarded group": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
			e.Use(cors)
			e.Group("/v1", m...).GET("/orders", h)
		},
		"CORS, then auth, on the app": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
			e.Use(cors)
			e.Use(m...)
			e.GET("/v1/orders", h)
		},
		"CORS, then auth, on the group": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
			e.Group("/v1", slices.Concat([]echo.MiddlewareFunc{cors}, m)...).GET("/orders", h)
		},
		"CORS on the app, guarded route": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
			e.Use(cors)
			e.GET("/v1/orders", h, m...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{Echo: echo.New()}
			register(a.Echo, a.serve, auth.Require("orders:read"))
			r := httptest.NewRequest(http.MethodOptions, "/v1/orders", http.NoBody)
			r.Header.Set("Origin", "https://app.example")
			r.Header.Set("Access-Control-Request-Method", "GET")
			r.Header.Set("Access-Control-Request-Headers", "authorization")
			w := a.send(r)
			if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example" || len(a.tokens) > 0 {
				t.Errorf("preflight: status %d, headers %v", w.Code, w.Header())
			}
			r = httptest.NewRequest(http.MethodGet, "/v1/orders", http.NoBody)
			r.Header.Set("Origin", "https://app.example")
			w = a.send(r) // a script must be able to read the 401
			if w.Code != http.StatusUnauthorized || w.Header().Get("Access-Control-Allow-Origin") == "" || len(a.tokens) > 0 {
				t.Errorf("request without a token: status %d, headers %v", w.Code, w.Header())
			}
			r.Header.Set("Authorization", "Bearer "+goodToken(t, keys))
			if w = a.send(r); w.Code != http.StatusOK {
				t.Errorf("request with a token: status %d", w.Code)
			}
		})
	}
}
