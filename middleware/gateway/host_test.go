package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// The rule of a route is not that of the same path on another host, which the caller writes
// into the request.
func TestRoutesOfAHost(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t,
		Rule{Route: "/users", AnyToken: true},
		Rule{Route: "admin.internal/users", Scopes: []string{"admin"}},
		Rule{Route: "unused.internal/users", AnyToken: true},
	)})
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/users", ok)
	e.Host("admin.internal").GET("/users", ok)
	e.Host("other.internal").GET("/users", ok)
	mux := newMux(gw, "/users", "admin.internal/users", "other.internal/users")
	plain, admin := idp.Token(t), idp.Token(t, issuertest.Scopes("admin"))
	for _, c := range []struct {
		host, token string
		want        int
	}{
		{"api.example.com", plain, 200},
		{"admin.internal", plain, 403},
		{"admin.internal", admin, 200},
		{"other.internal", admin, 403}, // no rule is for it
	} {
		for name, h := range map[string]http.Handler{"Echo": e, "net/http": mux} {
			r := httptest.NewRequest("GET", "/users", nil)
			r.Host = c.host
			r.Header.Set("Authorization", "Bearer "+c.token)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != c.want {
				t.Errorf("%s: %s is answered %d, want %d", name, c.host, w.Code, c.want)
			}
		}
	}
	for i, unused := range []bool{false, false, true} {
		if rule := gw.Status().Rules[i]; rule.Unused != unused {
			t.Errorf("%s: unused %v", rule.Name, rule.Unused)
		}
	}
}
