package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// A request that cannot be checked says nothing about its caller, so it counts for no
// network: when the issuer is back, all are served.
func TestUncheckedRequestsAreNotCounted(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{
		Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true}),
		Limits: Limits{Unauthenticated: Limit{Rate: 0.001, Burst: 2}},
	})
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/x", ok)
	for name, h := range map[string]http.Handler{"Echo": e, "net/http": newMux(gw, "/x")} {
		idp.Feed.Fail(http.StatusServiceUnavailable)
		for range 5 {
			if w := get(h, "GET", "/x", idp.Token(t)); w.Code != 503 {
				t.Errorf("%s: %d without the feed", name, w.Code)
			}
		}
		idp.Feed.Restore()
		if w := get(h, "GET", "/x", idp.Token(t)); w.Code != 200 {
			t.Errorf("%s: %d when it is back", name, w.Code)
		}
	}
}

// The app's IPExtractor says which network a request comes from.
func TestNetworkInEcho(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{
		Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true}),
		Limits: Limits{Unauthenticated: Limit{Rate: 0.001, Burst: 1}},
	})
	e := echo.New()
	e.IPExtractor = func(r *http.Request) string { return r.Header.Get("X-From") }
	e.Use(gw.Require())
	e.GET("/x", ok)
	for _, tt := range []struct {
		from   string
		status int
	}{{"198.51.100.1", 401}, {"198.51.100.2", 429}, {"203.0.113.1", 401}, {"203.0.113.1", 429}} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header.Set("X-From", tt.from)
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); w.Code != tt.status {
			t.Errorf("from %s: %d, want %d", tt.from, w.Code, tt.status)
		}
	}
}
