package tool

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// varied are clients with every field.
func varied(t *testing.T) []registry.Client {
	t.Helper()
	_, generated := registry.GenerateSecret()
	generated.Label = "blue"
	imported, err := registry.ImportSecret(bcryptHash)
	if err != nil {
		t.Fatal(err)
	}
	return []registry.Client{
		{
			ID: `a "b",c`, Name: "Ä <b>\nsecond line", AuthMethod: registry.ClientSecretPost, Scopes: []string{"x", "y:z"}, Audiences: []string{apiURL, "orders"}, DefaultAudience: "orders",
			Introspects: []string{"*"}, TokenTTL: 5 * time.Minute, Disabled: true, Metadata: map[string]string{"tenant": `ac"me`, "plan": ""}, Secrets: []registry.Secret{generated, imported},
		},
		{ID: "plain", Audiences: []string{apiURL}},
		{
			ID: "keyed", Audiences: []string{apiURL}, AuthMethod: registry.PrivateKeyJWT, JWKS: json.RawMessage("\n" + keySet + "\n"), TLSClientAuthSubjectDN: `CN=a "b",O=<c>`,
			DPoPBoundTokens: true, CertificateBoundTokens: true, Workloads: []registry.Workload{
				{Issuer: "https://b.example", Subject: "a b", Audience: "c"}, {Issuer: "https://a.example", Subject: "a,*", Audience: "<c>", InsecureSharedSubject: true},
			},
		},
		{ID: "remote", Audiences: []string{apiURL}, JWKSURI: "https://a.example/jwks?a=b&c", TLSClientAuthSANDNS: "a.example"},
		{ID: "uri", Audiences: []string{apiURL}, AuthMethod: registry.TLSClientAuth, TLSClientAuthSANURI: "urn:a&b"},
		{ID: "ip", Audiences: []string{apiURL}, TLSClientAuthSANIP: "2001:db8::1"},
		{ID: "email", Audiences: []string{apiURL}, TLSClientAuthSANEmail: "a@a.example"},
	}
}

// TestVaried wants every field of a client in varied, so that one which export or
// differences forgets is noticed.
func TestVaried(t *testing.T) {
	own := []string{"Version", "CreatedAt", "UpdatedAt"}
	for n, field := range reflect.VisibleFields(reflect.TypeFor[registry.Client]()) {
		set := slices.ContainsFunc(varied(t), func(c registry.Client) bool { return !reflect.ValueOf(c).Field(n).IsZero() })
		if !set && !slices.Contains(own, field.Name) {
			t.Errorf("registry.Client.%s is new: give it to a client of varied", field.Name)
		}
		for _, c := range varied(t) {
			changed := c.Clone()
			reflect.ValueOf(changed).Elem().Field(n).SetZero()
			forgotten := !reflect.ValueOf(c).Field(n).IsZero() && len(differences(&c, changed)) != 1
			if forgotten && !slices.Contains([]string{"ID", "Secrets", "Metadata"}, field.Name) {
				t.Errorf("differences does not see that %s of %s changed", field.Name, c.ID)
			}
		}
	}
}

// TestExport takes what export prints to another store, where plan then finds nothing
// to change.
func TestExport(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, newBenchOf func(*testing.T, ...registry.Client) *bench) {
		from := newBenchOf(t, varied(t)...)
		for verb, args := range map[string][]string{"apply": {"export"}, "import": {"export", "-csv"}} {
			text := from.do(args...)
			if strings.Contains(text, "sha256:") || strings.Contains(text, "$2b$") || strings.Contains(text, `"secrets"`) {
				t.Errorf("export shows hashes: %s", text)
			}
			to := newBenchOf(t)
			path := to.file("exported", text)
			to.do(verb, path, "-secrets", filepath.Join(to.dir, "secrets.csv"))
			to.do(verb, path)
			for _, c := range varied(t) {
				if changes := differences(&c, to.client(c.ID)); len(changes) > 0 {
					t.Errorf("%s: %s differs: %v", verb, c.ID, changes)
				}
			}
		}
	})
}

// TestExportHashes takes secrets along to another store.
func TestExportHashes(t *testing.T) {
	t.Parallel()
	clients := varied(t)
	path := newBench(t).file("exported", newBench(t, clients...).do("export", "-hashes"))
	for name, to := range map[string]*bench{"store": newBench(t, registry.Client{ID: "plain"}), "admin API": newAPIBench(t, registry.Client{ID: "plain"})} {
		to.do("apply", path, "-secrets", filepath.Join(to.dir, "secrets.csv"))
		to.do("plan", path)
		got := to.client(clients[0].ID).Secrets
		if len(got) != 2 || got[0].ID != clients[0].Secrets[0].ID || got[0].Hash != clients[0].Secrets[0].Hash || got[1].Hash != bcryptHash {
			t.Errorf("%s: the secrets are %v", name, got)
		}
	}
	newBench(t).refused("-hashes is for JSON", "export", "-csv", "-hashes")
}

// TestExportWhiteSpace refuses what a CSV file cannot keep.
func TestExportWhiteSpace(t *testing.T) {
	t.Parallel()
	newBench(t, registry.Client{ID: "a", Name: " x"}).refused("client_name", "export", "-csv")
	newBench(t, registry.Client{ID: "a", Introspects: []string{"x y"}}).refused("introspects", "export", "-csv")
}

// TestExportPages exports more clients than a page has.
func TestExportPages(t *testing.T) {
	t.Parallel()
	clients := make([]registry.Client, 1001)
	for n := range clients {
		clients[n] = registry.Client{ID: fmt.Sprintf("c%d", n), Audiences: []string{apiURL}}
	}
	both(t, func(t *testing.T, newBench func(*testing.T, ...registry.Client) *bench) {
		var exported []record
		if err := json.Unmarshal([]byte(newBench(t, clients...).do("export")), &exported); err != nil || len(exported) < len(clients) {
			t.Errorf("%d clients, %v", len(exported), err)
		}
	})
}

// TestListIsAFile applies what list -json prints.
func TestListIsAFile(t *testing.T) {
	t.Parallel()
	b := newBench(t, varied(t)...)
	b.in = b.do("list", "-json")
	if out := b.do("plan", "-"); !strings.Contains(out, "7 unchanged") {
		t.Error(out)
	}
}
