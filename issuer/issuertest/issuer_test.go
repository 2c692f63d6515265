package issuertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// grant gets a token from the token endpoint.
func grant(t *testing.T, i *Issuer, id, secret string) (status int, token string) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	r := httptest.NewRequest(http.MethodPost, i.URL()+"/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Errorf("%v: %s", err, w.Body)
	}
	return w.Code, answer.Token
}

func want(t *testing.T, g *guard, what, token string, status int, reason event.Reason) {
	t.Helper()
	if got, why := g.ask(token); got != status || why != reason {
		t.Errorf("%s: status %d, %s, want %d, %s", what, got, why, status, reason)
	}
}

const ok, refuses = http.StatusNoContent, http.StatusUnauthorized

func TestToken(t *testing.T) {
	t.Parallel()
	i := New(t)
	var seen *bearer.Token
	auth, err := bearer.New(i.Bearer("https://api.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(auth.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = bearer.TokenFromContext(r.Context()) })))
	t.Cleanup(api.Close)
	ask := func(options ...Option) int {
		t.Helper()
		answer, err := i.Client(t, options...).Get(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	if status := ask(); status != http.StatusOK || seen.ClientID != "test-client" || seen.Subject != "test-client" || len(seen.Scopes) > 0 || seen.Audience[0] != "https://api.example.com" {
		t.Errorf("status %d, %+v", status, seen)
	}
	if left := time.Until(seen.ExpiresAt); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("it expires in %v", left)
	}
	status := ask(ClientID("reporter"), Scopes("a", "b"), Audience("https://other.test", "https://api.example.com"), Claim("tenant", "acme"), Lifetime(time.Hour), nil)
	var custom struct{ Tenant string }
	if err := seen.Claims(&custom); err != nil || custom.Tenant != "acme" {
		t.Errorf("%+v, %v", custom, err)
	}
	if status != http.StatusOK || seen.ClientID != "reporter" || !seen.HasScope("b") || len(seen.Audience) != 2 || time.Until(seen.ExpiresAt) < 59*time.Minute {
		t.Errorf("status %d, %+v", status, seen)
	}
	for name, options := range map[string][]Option{
		"no audience": {Audience()}, "other audience": {Audience("https://other.test")}, "over": {Lifetime(-time.Hour)}, "by name": {Bad("no jti")},
	} {
		if status := ask(options...); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if _, err := i.mint([]Option{Bad("expird")}); err == nil || !strings.Contains(err.Error(), `"expired", "expired, with a fraction"`) {
		t.Errorf("a fault that does not exist: %v", err)
	}
	if _, err := i.mint([]Option{Claim("x", func() {})}); err == nil {
		t.Error("a claim that is no JSON was accepted")
	}
}

// A redirect to another host does not take the token along.
func TestClientRedirect(t *testing.T) {
	t.Parallel()
	i := New(t)
	var got []string
	note := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Authorization"))
			next.ServeHTTP(w, r)
		})
	}
	other := httptest.NewServer(note(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}
	})))
	t.Cleanup(other.Close)
	api := httptest.NewServer(note(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, map[string]string{"/": "/here", "/here": other.URL + "/"}[r.URL.Path], http.StatusTemporaryRedirect)
	})))
	t.Cleanup(api.Close)
	answer, err := i.Client(t).Get(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if len(got) != 4 || !strings.HasPrefix(got[0], "Bearer ") || got[1] != got[0] || got[2] != "" || got[3] != "" {
		t.Errorf("Authorization is %q", got)
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	i := New(t)
	near, far := newGuard(t, i.Bearer("")), newGuard(t, i.Remote(t, ""))
	first := i.Token(t)
	want(t, near, "at first", first, ok, "")
	want(t, far, "at first", first, ok, "")
	i.Rotate(t)
	second := i.Token(t)
	for what, token := range map[string]string{"of the old key": first, "of the new key": second} {
		want(t, near, what, token, ok, "")
		want(t, far, what, token, ok, "") // it has fetched the announced key
	}
	if n := i.KeySet.Requests(); n != 1 {
		t.Errorf("%d requests for the key set", n)
	}
	i.EmergencyRotate(t)
	third := i.Token(t)
	want(t, near, "of the retained key", first, ok, "")
	want(t, near, "of the dropped key", second, refuses, event.UnknownKey)
	want(t, near, "of the newest key", third, ok, "")
	for range retained {
		i.Rotate(t)
	}
	want(t, near, "of the key that was retained", first, refuses, event.UnknownKey)
	want(t, near, "of a retained key", third, ok, "")
	fourth := i.Token(t)
	i.Revoke(t, fourth)
	i.Rotate(t)
	want(t, near, "revoked before a rotation", fourth, refuses, event.Revoked)
	if n := len(i.serving.keys); n != 2+retained {
		t.Errorf("there are %d keys", n)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	i := New(t)
	near, far := newGuard(t, i.Bearer("")), newGuard(t, i.Remote(t, ""))
	for name, g := range map[string]*guard{"Bearer": near, "Remote": far} {
		reason := event.Revoked
		one, other, of := i.Token(t), i.Token(t), i.Token(t, ClientID("reporter"))
		want(t, g, name+" at first", one, ok, "")
		i.Revoke(t, one)
		want(t, g, name+" revoked", one, refuses, reason)
		want(t, g, name+" other", other, ok, "")
		i.RevokeClient(t, "test-client")
		want(t, g, name+" of the client", other, refuses, reason)
		want(t, g, name+" of another client", of, ok, "")
		want(t, g, name+" after the cut-off", i.Token(t), ok, "")
	}
}

// Clients get tokens from the token endpoint, and each change of them counts at once.
func TestClients(t *testing.T) {
	t.Parallel()
	i := New(t)
	g := newGuard(t, i.Bearer("https://api.example.com"), "orders:read")
	secret := i.Register(t, registry.Client{Scopes: []string{"orders:read"}})
	status, token := grant(t, i, "test-client", secret)
	if want(t, g, "granted", token, ok, ""); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	i.Revoke(t, token)
	want(t, g, "revoked", token, refuses, event.Revoked)

	next, err := i.Clients().RotateSecret(t.Context(), "test-client", registry.Rotation{})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := grant(t, i, "test-client", secret); status != http.StatusUnauthorized {
		t.Errorf("status %d with the old secret", status)
	}
	status, token = grant(t, i, "test-client", next)
	if want(t, g, "with the new secret", token, ok, ""); status != http.StatusOK {
		t.Errorf("status %d with the new secret", status)
	}
	own := i.Token(t, Scopes("orders:read"))
	client, err := i.Clients().Client(t.Context(), "test-client")
	if err != nil {
		t.Fatal(err)
	}
	client.Disabled = true
	if _, err := i.Clients().Update(t.Context(), *client); err != nil {
		t.Fatal(err)
	}
	want(t, g, "of a disabled client", token, refuses, event.Revoked)
	want(t, g, "minted for it before", own, refuses, event.Revoked)
	if status, _ := grant(t, i, "test-client", next); status != http.StatusUnauthorized {
		t.Errorf("status %d for a disabled client", status)
	}
}

// Changes of secrets, and a deletion, count at once too.
func TestSecrets(t *testing.T) {
	t.Parallel()
	i := New(t)
	g := newGuard(t, i.Bearer(""))
	first := i.Register(t, registry.Client{ID: "reporter"})
	second, hash := registry.GenerateSecret()
	if err := i.Clients().AddSecret(t.Context(), "reporter", hash); err != nil {
		t.Fatal(err)
	}
	_, by1 := grant(t, i, "reporter", first)
	_, by2 := grant(t, i, "reporter", second)
	want(t, g, "with the first secret", by1, ok, "")
	want(t, g, "with the second secret", by2, ok, "")
	id, known := registry.SecretID(first)
	if err := i.Clients().RemoveSecret(t.Context(), "reporter", id, true); err != nil || !known {
		t.Fatal(err)
	}
	want(t, g, "with the secret that was removed", by1, refuses, event.Revoked)
	want(t, g, "with the other secret", by2, ok, "")
	if err := i.Clients().Delete(t.Context(), "reporter"); err != nil {
		t.Fatal(err)
	}
	want(t, g, "of a deleted client", by2, refuses, event.Revoked)
	if status, _ := grant(t, i, "reporter", second); status != http.StatusUnauthorized {
		t.Errorf("status %d for a deleted client", status)
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	i := New(t, func(c *issuer.Config) {
		c.Issuer, c.TokenPath, c.OpenIDConfiguration, c.InsecureHTTP = "https://auth.test/eu", "/oauth/token", true, true
	})
	for path, s := range map[string]*Switch{
		"/eu/oauth/token": &i.TokenEndpoint, "/eu/introspect": &i.Introspection, "/eu/revoke": &i.Revocation, "/eu/.well-known/jwks.json": &i.KeySet,
		"/.well-known/oauth-authorization-server/eu": &i.Metadata, "/eu/.well-known/oauth-authorization-server": &i.Metadata,
		"/eu/.well-known/openid-configuration": &i.Metadata,
	} {
		before := s.Requests()
		w := httptest.NewRecorder()
		i.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if s.Requests() != before+1 || w.Code == http.StatusNotFound {
			t.Errorf("%s: status %d, %d requests", path, w.Code, s.Requests()-before)
		}
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/token", http.NoBody))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d for a path that is not the issuer's", w.Code)
	}
	want(t, newGuard(t, i.Remote(t, "")), "without a network", i.Token(t), ok, "")
}

// In a bubble of synctest, with guards and faults, hours take no time.
func TestInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := New(t, func(c *issuer.Config) { c.Issuer = "https://auth.test" })
		far := newGuard(t, i.Remote(t, ""))
		token := i.Token(t, Lifetime(4*time.Hour))
		want(t, far, "at first", token, ok, "")
		i.KeySet.Hang()
		time.Sleep(time.Hour)
		want(t, far, "keys an hour old", token, ok, "")
		time.Sleep(time.Hour)
		want(t, far, "keys too old", token, http.StatusServiceUnavailable, event.KeysUnavailable)
		i.KeySet.Restore()
		time.Sleep(time.Minute)
		want(t, far, "restored", token, ok, "")
		time.Sleep(time.Second) // its answer is cached until the clock moves
		i.Introspection.Slow(time.Hour)
		want(t, far, "introspection hangs", token, http.StatusServiceUnavailable, event.RevocationsUnavailable)
	})
}
