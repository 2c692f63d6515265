package tool

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestAPIWrongServer runs verbs against a server whose answers are no answers of the
// admin API. None may pass for one.
func TestAPIWrongServer(t *testing.T) {
	t.Parallel()
	const page, client = `{"clients":[]}`, `{"client_id":"a","audiences":["https://a.example"],"version":1}`
	for name, c := range map[string]struct {
		answers map[string]string // by method and path; the others are page
		args    []string
	}{
		"a list without clients":       {map[string]string{"GET /clients": `{}`}, []string{"stale-secrets"}},
		"a list of null":               {map[string]string{"GET /clients": `{"clients":null}`}, []string{"export"}},
		"a page of a portal":           {map[string]string{"DELETE /clients/a": `<html>`, "GET /clients/a": client}, []string{"delete", "a"}},
		"a portal that revokes":        {map[string]string{"POST /clients/a/revoke": `<html>`, "GET /clients/a": client}, []string{"revoke", "a"}},
		"a rotation without a secret":  {map[string]string{"POST /clients/a/secrets": `{}`}, []string{"rotate-secret", "a"}},
		"another client":               {map[string]string{"GET /clients/b": client}, []string{"show", "b"}},
		"another client was added":     {map[string]string{"POST /clients": client}, []string{"add", "b", "-audience", apiURL}},
		"a page that comes once again": {map[string]string{"GET /clients": `{"clients":[` + client + `]}`}, []string{"export"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked > 20 {
					panic(http.ErrAbortHandler)
				}
				answer, ok := c.answers[r.Method+" "+r.URL.Path]
				if !ok {
					answer = page
				}
				_, _ = w.Write([]byte(answer))
			}))
			defer server.Close()
			b := newBench(t)
			b.env = map[string]string{"ACCESS_TOKEN": "hunter2", "ADMIN_URL": server.URL}
			status, out, err := b.run(c.args...)
			if status != Failed || asked > 10 {
				t.Errorf("status %d after %d requests\n%s\n%s", status, asked, out, err)
			}
		})
	}
}

// TestAPISwitchesProtocols is answered 101, after which the body is the connection. The
// tool does not wait for its end.
func TestAPISwitchesProtocols(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "x")
		w.WriteHeader(http.StatusSwitchingProtocols)
		_ = http.NewResponseController(w).Flush()
		<-end
	}))
	defer server.Close()
	defer close(end)
	b := newBench(t)
	b.env = map[string]string{"ACCESS_TOKEN": "hunter2"}
	if status, out, err := b.run("list", "-api", server.URL); status != Failed || !strings.Contains(out+err, "101") {
		t.Errorf("status %d, %q", status, out+err)
	}
}

// TestAPIQuotesNoControls prints no control character that a server sends: a terminal
// would obey it.
func TestAPIQuotesNoControls(t *testing.T) {
	t.Parallel()
	for _, description := range []string{`scope: \u001b[2J`, `\u001b]0;x: y`, `\u001b[2J`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"invalid_request","error_description":"%s"}`, description)
		}))
		b := newBench(t)
		b.env = map[string]string{"ACCESS_TOKEN": "hunter2"}
		if status, out, err := b.run("list", "-api", server.URL); status != Failed || strings.Contains(out+err, "\x1b") {
			t.Errorf("status %d, %q", status, out+err)
		}
		server.Close()
	}
}

// TestAPIKeepsExpiry takes clients with hashes from a database to the admin API: no
// secret may live longer than before.
func TestAPIKeepsExpiry(t *testing.T) {
	t.Parallel()
	_, secret := registry.GenerateSecret()
	secret.Label, secret.ExpiresAt = "old", time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	from := newBench(t, registry.Client{ID: "a", Audiences: []string{apiURL}, Secrets: []registry.Secret{secret}})
	to := newAPIBench(t)
	to.do("apply", to.file("clients.json", from.do("export", "-hashes")))
	kept := to.client("a").Secrets
	if len(kept) != 1 || kept[0].ID != secret.ID || !kept[0].ExpiresAt.Equal(secret.ExpiresAt) || kept[0].Label != "old" {
		t.Errorf("the secrets are %+v, want %+v", kept, secret)
	}
}

// TestAPIAddressWithQuery says what is wrong with an address, in words.
func TestAPIAddressWithQuery(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = map[string]string{"ACCESS_TOKEN": "hunter2"}
	for _, url := range []string{"https://a.example/admin?x=1", "https://a.example/admin#x", "https://a.example/admin?"} {
		if status, out, err := b.run("list", "-api", url); status != Failed || !strings.Contains(err, "without a query") || strings.Contains(err, "%!") {
			t.Errorf("%s: status %d, %s%s", url, status, out, err)
		}
	}
}

// TestTokenIsOneWord prints no token that a terminal or a shell would take for more.
func TestTokenIsOneWord(t *testing.T) {
	t.Parallel()
	for _, token := range []string{`a\u001b[2Jb`, `a b`, `a\nb`, ` a`, `é`} {
		mux := http.NewServeMux()
		server := httptest.NewServer(mux)
		mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, server.URL, server.URL+"/token")
		})
		mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"access_token":"%s","token_type":"Bearer","expires_in":60}`, token)
		})
		b := newBench(t)
		b.env = map[string]string{"ISSUER": server.URL, "CLIENT_SECRET": "hunter2"}
		b.refused("no bearer token", "token", "a")
		server.Close()
	}
}

// TestTokenOddSecret sends an id and a secret whose characters the header needs encoded
// (RFC 6749, section 2.3.1).
func TestTokenOddSecret(t *testing.T) {
	t.Parallel()
	const id, plain = "a:b %41", "p%41+ s:&w"
	b := newAPIBench(t)
	secret, err := registry.HashSecret(plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.clients.Register(t.Context(), registry.Client{ID: id, Audiences: []string{apiURL}, Secrets: []registry.Secret{secret}}); err != nil {
		t.Fatal(err)
	}
	b.env["CLIENT_ID"], b.env["CLIENT_SECRET"] = "", plain
	b.do("token", id)
	b.do("token", id, "-post")
}
