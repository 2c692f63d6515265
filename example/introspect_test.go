//go:build !nosqlite

package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// TestIntrospection is an API elsewhere that asks a running issuer whether a
// token is still active.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, "example", "DATA_DIR="+dir, "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456")
	words := strings.Fields(clients(t, []string{"DATA_DIR=" + dir}, "add", "the-api", "-introspects", p.url+"/v1"))
	keys := jwks.NewIssuerRemote(p.url, jwks.RemoteConfig{})
	t.Cleanup(func() { keys.Close() })
	auth, err := bearer.New(bearer.Config{
		Issuer: p.url, Audience: p.url + "/v1", Keys: keys,
		Introspection: &bearer.Introspection{
			Endpoint: p.url + "/introspect", ClientID: "the-api", ClientSecret: words[len(words)-1], CacheFor: 300 * time.Millisecond,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, bearer.TokenFrom(c).ClientID) }, auth.Require("orders:read"))
	ask := func(token string) int {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w.Code
	}
	token := p.token(t, "myapp123", "secret456")
	if status := ask(token); status != http.StatusOK {
		t.Fatalf("a good token: %d", status)
	}
	if status, body := post(t, p.url+"/revoke", url.Values{"client_id": {"myapp123"}, "client_secret": {"secret456"}, "token": {token}}); status != http.StatusOK {
		t.Fatalf("revoke: %d %s", status, body)
	}
	eventually(t, 2*time.Second, "the revoked token is refused here", func() bool { return ask(token) == http.StatusUnauthorized })

	other := p.token(t, "myapp123", "secret456")
	p.stop(t)
	if status := ask(other); status != http.StatusServiceUnavailable {
		t.Errorf("a token nobody can be asked about: %d, want 503", status)
	}
}
