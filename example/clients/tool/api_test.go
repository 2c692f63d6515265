package tool

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// newAPIBench is a bench whose tool uses the admin API of a running issuer, as the
// client operator. The store behind it is in clients.
func newAPIBench(t *testing.T, clients ...registry.Client) *bench {
	t.Helper()
	b := newBench(t, clients...)
	store := b.clients.(*registry.Memory)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	keys, err := jwks.Open(t.Context(), jwks.File(filepath.Join(b.dir, "keys.json")), jwks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	iss, err := issuer.New(issuer.Config{Issuer: server.URL, Keys: keys, Store: store, ImportedSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { iss.Close() })
	guard, err := bearer.New(bearer.Config{Issuer: server.URL, Audience: apiURL, Keys: keys, Revoked: iss.Revoked})
	if err != nil {
		t.Fatal(err)
	}
	api, err := admin.New(admin.Config{Issuer: iss, Manager: store})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", iss.Handler())
	mux.Handle("/admin/", http.StripPrefix("/admin", guard.Handler(api, "clients:admin")))
	secret, err := registry.Ensure(t.Context(), store, registry.Client{ID: "operator", Audiences: []string{apiURL}, Scopes: []string{"clients:admin"}})
	if err != nil {
		t.Fatal(err)
	}
	b.env = map[string]string{"ADMIN_URL": server.URL + "/admin", "CLIENT_ID": "operator", "CLIENT_SECRET": secret, "ISSUER": server.URL}
	return b
}

// both runs a test on the clients themselves and through the admin API.
func both(t *testing.T, test func(t *testing.T, newBench func(t *testing.T, clients ...registry.Client) *bench)) {
	t.Helper()
	t.Run("store", func(t *testing.T) { t.Parallel(); test(t, newBench) })
	t.Run("admin API", func(t *testing.T) { t.Parallel(); test(t, newAPIBench) })
}

// TestAPIVerbs makes each change through the admin API.
func TestAPIVerbs(t *testing.T) {
	t.Parallel()
	b := newAPIBench(t)
	first := last(b.do("add", "a/b c", "-audience", apiURL, "-metadata", "tenant=acme"))
	second := last(b.do("rotate-secret", "a/b c", "-overlap", "1500ms", "-label", "blue"))
	if c := b.client("a/b c"); len(c.Secrets) != 2 || !c.Secrets[0].Matches(first) || !c.Secrets[1].Matches(second) || c.Secrets[1].Label != "blue" {
		t.Errorf("the secrets are %v", c.Secrets)
	}
	b.do("set", "a/b c", "-scope", "x y", "-ttl", "5m", "-disabled")
	if c := b.client("a/b c"); len(c.Scopes) != 2 || c.TokenTTL.Minutes() != 5 || !c.Disabled || c.Metadata["tenant"] != "acme" {
		t.Errorf("after set: %+v", c)
	}
	b.do("enable", "a/b c")
	if shown := b.do("show", "a/b c"); !strings.Contains(shown, "5m0s") || !strings.Contains(shown, "blue") {
		t.Errorf("show: %s", shown)
	}
	if listed := b.do("list", "-search", "A/B"); !strings.Contains(listed, "a/b c") || strings.Contains(listed, "operator") {
		t.Errorf("list: %s", listed)
	}
	id, _ := registry.SecretID(first)
	b.do("remove-secret", "a/b c", id, "-revoke")
	b.do("revoke", "a/b c")
	b.do("revoke", "-all") // the next verb gets a token that is newer
	b.refused("no such client or secret", "remove-secret", "a/b c", id)
	b.refused("the id is taken, see: clients show a/b c", "add", "a/b c", "-audience", apiURL)
	b.refused("token_endpoint_auth_method", "set", "a/b c", "-auth-method", "magic")
	b.refused("no such client", "show", "nobody")
	b.do("delete", "a/b c")
	b.refused("no such client", "show", "a/b c")
	b.refused("shows no hashes", "export", "-hashes")
}

// TestAPIErrors wants errors that say what to do and quote no secret.
func TestAPIErrors(t *testing.T) {
	t.Parallel()
	b := newAPIBench(t)
	good := b.env
	plain := last(b.do("add", "reader", "-audience", apiURL, "-scope", "orders:read"))
	for says, change := range map[string]map[string]string{
		"set CLIENT_ID and CLIENT_SECRET": {"CLIENT_SECRET": ""},
		"grants no token: status 401":     {"CLIENT_SECRET": plain},
		"lacks the scope":                 {"CLIENT_ID": "reader", "CLIENT_SECRET": plain},
		"the token is not accepted":       {"ACCESS_TOKEN": "hunter2.hunter2.hunter2"},
		"finding the token endpoint":      {"ISSUER": good["ISSUER"] + "/elsewhere"},
		"there is no admin API":           {"ADMIN_URL": good["ISSUER"] + "/elsewhere"},
		"is no URL":                       {"ADMIN_URL": "http://%zz"},
	} {
		b.env = maps.Clone(good)
		maps.Copy(b.env, change)
		status, out, err := b.run("list")
		if status != Failed || !strings.Contains(err, says) {
			t.Errorf("status %d, %s%s, want %q", status, out, err, says)
		}
		for _, secret := range []string{plain, good["CLIENT_SECRET"], "hunter2"} {
			if strings.Contains(out+err, secret) {
				t.Errorf("%s: a secret is in %s%s", says, out, err)
			}
		}
	}
}

// TestAPIQuotes takes the secrets out of what a server quotes.
func TestAPIQuotes(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"token: ` + r.Header.Get("Authorization") + `"}`))
	}))
	defer server.Close()
	b := newBench(t)
	b.env = map[string]string{"ACCESS_TOKEN": "hunter2"}
	status, out, err := b.run("list", "-api", server.URL)
	if status != Failed || !strings.Contains(err, "[secret]") || strings.Contains(out+err, "hunter2") {
		t.Errorf("status %d, %s%s", status, out, err)
	}
}

// TestAPIFollowsNoRedirect sends the token to no other address.
func TestAPIFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	b := newBench(t)
	b.env = map[string]string{"ACCESS_TOKEN": "hunter2"}
	if status, _, err := b.run("list", "-api", server.URL); status != Failed || !strings.Contains(err, "status 307") || asked {
		t.Errorf("status %d, %s, the other address was asked: %v", status, err, asked)
	}
}
