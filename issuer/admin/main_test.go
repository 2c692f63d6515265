package admin_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/crypto/bcrypt"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 10*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

// office is an app with an issuer and its admin API, unguarded.
type office struct {
	*testing.T
	app    *echo.Echo
	plain  http.Handler // the same below /console, without Echo
	issuer *issuer.Issuer
	events []admin.Event
}

func (o *office) observe(_ context.Context, e admin.Event) { o.events = append(o.events, e) }

// one returns the only event since the last call.
func (o *office) one() admin.Event {
	o.Helper()
	if len(o.events) != 1 {
		o.Fatalf("%d events, want 1: %+v", len(o.events), o.events)
	}
	e := o.events[0]
	o.events = nil
	return e
}

func newOffice(t *testing.T, change ...func(*issuer.Config)) *office {
	t.Helper()
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	return newOfficeOn(t, store, change...)
}

// newOfficeOn is an office on a store, of an issuer that change configures.
func newOfficeOn(t *testing.T, store registry.Manager, change ...func(*issuer.Config)) *office {
	t.Helper()
	keys, err := jwks.Open(t.Context(), jwks.File(filepath.Join(t.TempDir(), "keys.json")), jwks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	config := issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store}
	for _, c := range change {
		c(&config)
	}
	iss, err := issuer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { iss.Close() })
	o := &office{T: t, app: echo.New(), issuer: iss}
	iss.Mount(o.app)
	api, err := admin.New(admin.Config{Issuer: iss, Manager: store, Observe: o.observe, Actor: func(r *http.Request) string { return r.Header.Get("Operator") }})
	if err != nil {
		t.Fatal(err)
	}
	api.Mount(o.app.Group("/clients-of/:tenant"), nil)
	o.plain = http.StripPrefix("/console", api)
	return o
}

func (o *office) do(method, path, body string, status int) map[string]any {
	o.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Operator", "alice")
	w := httptest.NewRecorder()
	if strings.HasPrefix(path, "/console/") {
		o.plain.ServeHTTP(w, r)
	} else {
		o.app.ServeHTTP(w, r)
	}
	if w.Code != status {
		o.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	conforms(o.T, r, body, w)
	if strings.Contains(w.Body.String(), "sha256:") || strings.Contains(w.Body.String(), `"hash"`) {
		o.Errorf("%s %s shows a hash: %s", method, path, w.Body)
	}
	if w.Header().Get("Cache-Control") != "no-store" && status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		o.Errorf("%s %s: Cache-Control %q", method, path, w.Header().Get("Cache-Control"))
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil && status < 300 {
		o.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return answer
}

func (o *office) token(id, secret string) (string, int) {
	o.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r := httptest.NewRequest("POST", "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	o.app.ServeHTTP(w, r)
	var answer struct {
		Token string `json:"access_token"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	return answer.Token, w.Code
}

func (o *office) revoked(token string) bool {
	o.Helper()
	claims := decodeClaims(o.T, strings.Split(token, ".")[1])
	jti, _, _ := claims.String("jti")
	id, _, _ := claims.String("client_id")
	iat, _, _ := claims.Time("iat")
	revoked, err := o.issuer.Revoked(o.Context(), jti, id, iat)
	if err != nil {
		o.Fatal(err)
	}
	return revoked
}

func decodeClaims(t *testing.T, payload string) jose.Object {
	t.Helper()
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jose.ParseObject(string(decoded))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func hashOf(t *testing.T, plain string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func newAPI(t *testing.T, manager registry.Manager, observe func(admin.Event)) *admin.API {
	t.Helper()
	keys, err := jwks.Open(t.Context(), jwks.File(filepath.Join(t.TempDir(), "keys.json")), jwks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: manager})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(iss.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	api, err := admin.New(admin.Config{Issuer: iss, Manager: manager, Observe: func(_ context.Context, e admin.Event) { observe(e) }})
	if err != nil {
		t.Fatal(err)
	}
	return api
}
