package gateway

import (
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// BenchmarkRequire is a request with a repeated token through the guard alone, the gateway,
// and the gateway with a shadow.
//
//	go test ./middleware/gateway -run '^$' -bench Require -count 5
func BenchmarkRequire(b *testing.B) {
	idp := issuertest.New(b)
	auth := newAuth(b, idp)
	policy := mustPolicy(b, Rule{Route: "/orders/*", Methods: []string{"GET"}, Scopes: []string{"orders:read"}}, Rule{Route: "/orders/*", Scopes: []string{"orders:write"}})
	shadow := mustPolicy(b, Rule{Route: "/orders/*", Scopes: []string{"orders:write"}})
	for _, bb := range []struct {
		name  string
		guard echo.MiddlewareFunc
	}{
		{"guard", auth.Require("orders:read")},
		{"gateway", newGateway(b, Config{Auth: auth, Policy: policy}).Require()},
		{"shadow", newGateway(b, Config{Auth: auth, Policy: policy, Shadow: shadow}).Require()},
		{"shadowAuth", newGateway(b, Config{Auth: auth, Policy: policy, ShadowAuth: newAuth(b, idp)}).Require()},
	} {
		b.Run(bb.name, func(b *testing.B) {
			e := echo.New()
			e.Use(bb.guard)
			e.Any("/orders/*", func(echo.Context) error { return nil })
			r := httptest.NewRequest("GET", "/orders/1", nil)
			r.Header.Set("Authorization", "Bearer "+idp.Token(b, issuertest.Scopes("orders:read")))
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				e.ServeHTTP(w, r)
			}
			if w.Code != 200 {
				b.Fatal(w.Code)
			}
		})
	}
}
