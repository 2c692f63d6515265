package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// The named faults of issuertest about bound tokens are refused for one reason, whatever
// this API can check.
func TestFaultsOfBoundTokens(t *testing.T) {
	idp := issuertest.New(t)
	for name, change := range map[string]func(*bearer.Config){
		"off":  func(*bearer.Config) {},
		"both": func(c *bearer.Config) { c.ClientCertificates = &bearer.ClientCertificates{} },
		"bound only": func(c *bearer.Config) {
			c.ClientCertificates, c.RequireBound = &bearer.ClientCertificates{}, true
		},
	} {
		config := idp.Bearer("https://api.example.com")
		if change(&config); name != "off" {
			config.DPoP = &bearer.DPoP{BaseURL: "https://api.example.com"}
		}
		var reason event.Reason
		config.Observe = func(_ context.Context, e bearer.Event) { reason = e.Reason }
		auth, err := bearer.New(config)
		if err != nil {
			t.Fatal(err)
		}
		guarded := auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Errorf("%s: served", name) }))
		for _, fault := range []string{"bound to a key", "bound to a certificate"} {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+idp.Token(t, issuertest.Bad(fault)))
			w := httptest.NewRecorder()
			if guarded.ServeHTTP(w, r); w.Code != http.StatusUnauthorized || reason != event.SenderConstrained {
				t.Errorf("%s: %s: status %d, reason %q", name, fault, w.Code, reason)
			}
		}
	}
}
