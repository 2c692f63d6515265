package admin_test

import (
	"context"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// asked notes the calls of a store that are not an operator's.
type asked struct {
	*registry.Memory
	mu     sync.Mutex
	others []string
}

func (a *asked) note(ctx context.Context, call string) {
	if registry.IsOperator(ctx) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.others = append(a.others, call)
}

// take returns what was noted since the last call.
func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	others := a.others
	a.others = nil
	return others
}

func (a *asked) Client(ctx context.Context, id string) (*registry.Client, error) {
	a.note(ctx, "Client")
	return a.Memory.Client(ctx, id)
}

func (a *asked) Revoke(ctx context.Context, c registry.Change) (int64, error) {
	a.note(ctx, c.Kind.String())
	return a.Memory.Revoke(ctx, c)
}

// What an operator does is an operator's call of the store, reads too, so that no
// flood of requests delays it; what clients make the issuer do is not.
func TestCallsOfOperators(t *testing.T) {
	memory, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	store := &asked{Memory: memory}
	keys, err := jwks.Open(t.Context(), jwks.File(filepath.Join(t.TempDir(), "keys.json")), jwks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	defer iss.Close()
	api, err := admin.New(admin.Config{Issuer: iss, Manager: store})
	if err != nil {
		t.Fatal(err)
	}
	plain, secret := registry.GenerateSecret()
	if _, err := store.Register(t.Context(), registry.Client{ID: "c", Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}}); err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"GET /clients", "GET /clients/c", "POST /clients/c/revoke", "POST /clients/c/secrets/" + secret.ID + "/revoke", "POST /clients/revoke"} {
		method, path, _ := strings.Cut(call, " ")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if got := store.take(); w.Code != 200 || len(got) > 0 {
			t.Errorf("%s: %d %s, and as a request: %v", call, w.Code, w.Body, got)
		}
	}
	for verb, err := range map[string]error{
		"RevokeToken":  iss.RevokeToken(t.Context(), "a", time.Now().Add(time.Hour)),
		"RevokeClient": iss.RevokeClient(t.Context(), "c"),
		"RevokeSecret": iss.RevokeSecret(t.Context(), "c", secret.ID),
		"RevokeAll":    iss.RevokeAll(t.Context()),
	} {
		if err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if got := store.take(); len(got) > 0 {
		t.Errorf("the verbs of the issuer, as a request: %v", got)
	}
	post := func(path string, form url.Values) string {
		form.Set("client_id", "c")
		form.Set("client_secret", plain)
		r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		iss.Handler().ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	answer := post("/token", url.Values{"grant_type": {"client_credentials"}})
	post("/revoke", url.Values{"token": {strings.Split(answer, `"`)[3]}})
	if got := store.take(); !slices.Equal(got, []string{"Client", registry.TokenRevoked.String()}) {
		t.Errorf("a client's requests: %v", got)
	}
}
