package outbound_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// TestOurIssuer calls a guarded API with tokens of our own issuer, through a revocation.
func TestOurIssuer(t *testing.T) {
	var auth, api http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1" {
			api.ServeHTTP(w, r)
			return
		}
		auth.ServeHTTP(w, r)
	}))
	defer web.Close()
	private, err := jose.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		t.Fatal(err)
	}
	store := &registry.Memory{}
	audience := web.URL + "/v1"
	secret, err := registry.Ensure(t.Context(), store, registry.Client{ID: "reporter", Audiences: []string{audience}, Scopes: []string{"orders:read"}})
	if err != nil {
		t.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{Issuer: web.URL, Keys: keys, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	defer iss.Close()
	guard, err := bearer.New(bearer.Config{Issuer: web.URL, Audience: audience, Keys: keys, Revoked: iss.Revoked})
	if err != nil {
		t.Fatal(err)
	}
	auth = iss.Handler()
	api = guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "orders:read")

	s, err := outbound.New(outbound.Config{
		Issuer: web.URL, ClientID: "reporter", Resources: []string{audience}, Scopes: []string{"orders:read"},
		Secret: outbound.Secret(secret),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := func(what string, client *http.Client, status int) {
		t.Helper()
		res, err := client.Get(audience)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%s: status %d, want %d", what, res.StatusCode, status)
		}
	}
	client := s.Client()
	want("first", client, 200)
	if _, err := s.For(audience, "orders:write").Client().Get(audience); err == nil || !strings.Contains(err.Error(), "invalid_scope") {
		t.Errorf("a scope that the client lacks: %v", err)
	}
	if err := iss.RevokeClient(t.Context(), "reporter"); err != nil {
		t.Fatal(err)
	}
	want("after a revocation", client, 200)
	if got := s.Status(); got.Replays != 1 || got.Fetches != 3 || got.ClockOffset.Abs() > 2*time.Second {
		t.Errorf("%+v", got)
	}
}
