package tool

import (
	"encoding/json"
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

// TestPruneOnePage refuses to delete by a page of list, which leaves clients out.
func TestPruneOnePage(t *testing.T) {
	t.Parallel()
	var clients []registry.Client
	for n := range 60 {
		_, secret := registry.GenerateSecret()
		clients = append(clients, registry.Client{ID: fmt.Sprintf("c%02d", n), Audiences: []string{apiURL}, Secrets: []registry.Secret{secret}})
	}
	b := newBench(t, clients...)
	page := b.file("page.json", b.do("list", "-json"))
	b.do("plan", page)
	b.refused("a page of list", "plan", page, "-prune")
	b.refused("a page of list", "apply", page, "-prune")
	b.client("c59")
}

// TestImportTwoFilesInOne names the header of a second file that was put behind the first.
func TestImportTwoFilesInOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const header = "client_id,scope\n"
	status, out, err := b.run("import", b.file("a.csv", header+"a,x\n"+header+"b,y\n"), "-secrets", b.dir+"/s.csv")
	if status != Failed || !strings.Contains(err, ":3: client_id: the row names the columns again") {
		t.Errorf("status %d, %s%s", status, out, err)
	}
	if _, err := b.clients.Client(t.Context(), "client_id"); err == nil {
		t.Error("a client client_id was added")
	}
	b.client("b")
}

// TestImportSecretSpaces takes no secret whose white space a cell does not keep.
func TestImportSecretSpaces(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	status, out, err := b.run("import", b.file("a.csv", "client_id,client_secret\na,\" pass word \"\nb,pass word\n"))
	if status != Failed || !strings.Contains(err, ":2: a: client_secret: ") || strings.Contains(out+err, "pass") {
		t.Errorf("status %d, %s%s", status, out, err)
	}
	if c := b.client("b"); !c.Secrets[0].Matches("pass word") {
		t.Error("b has another secret")
	}
}

// TestImportOtherEncodings quotes little of a file that is no CSV file.
func TestImportOtherEncodings(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, _, err := b.run("import", b.file("a.csv", strings.Repeat("\xff\xfe\x00", 1<<20)))
	if len(err) > 1000 || err == "" {
		t.Errorf("the error has %d bytes", len(err))
	}
}

// TestStaleManyDays takes no number of days that a time cannot hold.
func TestStaleManyDays(t *testing.T) {
	t.Parallel()
	_, secret := registry.GenerateSecret()
	secret.ExpiresAt = time.Now().Add(time.Hour)
	b := newBench(t, registry.Client{ID: "a", Secrets: []registry.Secret{secret}})
	b.refused("at most", "stale-secrets", "-expiring", "200000")
	b.refused("at most", "stale-secrets", "-unused", "200000")
	if status, _, _ := b.run("stale-secrets", "-expiring", "36500"); status != Changes {
		t.Errorf("status %d", status)
	}
}

// TestDashes names a client whose id begins with a dash.
func TestDashes(t *testing.T) {
	t.Parallel()
	b := newBench(t, registry.Client{ID: "-json", Audiences: []string{apiURL}}, registry.Client{ID: "-h", Audiences: []string{apiURL}})
	var shown struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(b.do("show", "-json", "--", "-json")), &shown); err != nil || shown.ID != "-json" {
		t.Errorf("%+v, %v", shown, err)
	}
	b.do("delete", "--", "-h")
}

// TestPlanSecretID prints no control character of a file.
func TestPlanSecretID(t *testing.T) {
	t.Parallel()
	_, secret := registry.GenerateSecret()
	b := newBench(t, registry.Client{ID: "a", Audiences: []string{apiURL}})
	file := b.file("a.json", `[{"client_id":"a","audiences":["`+apiURL+`"],"secrets":[{"secret_id":"\u001b[2J","generated":true,"hash":"`+secret.Hash+`"}]}]`)
	if status, out, err := b.run("plan", file); status != Changes || strings.Contains(out+err, "\x1b") {
		t.Errorf("status %d, %q", status, out+err)
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

// TestApplyExpiredSecrets adds no secret of a file that has expired since, in any run.
func TestApplyExpiredSecrets(t *testing.T) {
	t.Parallel()
	_, ended := registry.GenerateSecret()
	_, lasting := registry.GenerateSecret()
	ended.ExpiresAt = time.Now().Add(-time.Hour)
	from := newBench(t, registry.Client{ID: "a", Audiences: []string{apiURL}, Secrets: []registry.Secret{ended, lasting}})
	var b strings.Builder
	records := []record{settings(from.client("a"))}
	for _, s := range []registry.Secret{ended, lasting} {
		records[0].Secrets = append(records[0].Secrets, secretRecord{ID: s.ID, Hash: s.Hash, ExpiresAt: s.ExpiresAt})
	}
	if err := json.NewEncoder(&b).Encode(records); err != nil {
		t.Fatal(err)
	}
	to := newBench(t)
	file := to.file("a.json", b.String())
	to.do("apply", file)
	if secrets := to.client("a").Secrets; len(secrets) != 1 || secrets[0].ID != lasting.ID {
		t.Errorf("the secrets are %v", secrets)
	}
	to.do("plan", file)
}

// TestImportSameHash gives two clients one hash, as where two apps had one secret.
func TestImportSameHash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.do("import", b.file("a.csv", "client_id,secret_hash\na,"+bcryptHash+"\nb,"+bcryptHash+"\n"))
	if b.client("a").Secrets[0].ID == b.client("b").Secrets[0].ID {
		t.Error("two secrets have one id")
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

// TestPageIsStrict reads the answer of list -json as strictly as its clients: of two
// lists, one would be left out.
func TestPageIsStrict(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const a = `[{"client_id":"a","audiences":["https://a.example"]}]`
	for _, page := range []string{`{"clients":` + a + `,"clients":[]}`, `{"Clients":` + a + `}`, `{"clients":` + a + `,"next":"b"}`, `{"clients":null}`, `{"error":"x"}`} {
		b.refused("it is no JSON", "plan", b.file("page.json", page))
	}
	if status, _, _ := b.run("plan", b.file("page.json", `{"clients":`+a+`}`)); status != Changes {
		t.Errorf("status %d", status)
	}
}
