package seed

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const audience = "https://api.example.com"

// keySet is a JWK set.
const keySet = `{"keys": [{"kty":"EC","crv":"P-256","kid":"<1>","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}]}`

// Clients makes clients with every kind of credential, gives them no secret, leaves them
// alone when nothing has changed, and writes each change of the file.
func TestClientsWithCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clients.json")
	t.Setenv("CLIENTS", file)
	store := &registry.Memory{}
	made := func(records string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(records), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Clients(t.Context(), store, audience, audience); err != nil {
			t.Fatal(err)
		}
	}
	first := `[{"client_id":"keys","token_endpoint_auth_method":"private_key_jwt","jwks":` + keySet + `,"dpop_bound_access_tokens":true},
		{"client_id":"url","jwks_uri":"http://127.0.0.1:9/jwks"},
		{"client_id":"dn","token_endpoint_auth_method":"tls_client_auth","tls_client_auth_subject_dn":"CN=a","tls_client_certificate_bound_access_tokens":true},
		{"client_id":"dns","tls_client_auth_san_dns":"a.example"}, {"client_id":"uri","tls_client_auth_san_uri":"urn:a"},
		{"client_id":"ip","tls_client_auth_san_ip":"192.0.2.1"}, {"client_id":"email","tls_client_auth_san_email":"a@a.example"},
		{"client_id":"workload","workload":[{"issuer":"http://127.0.0.1:9","subject":"a","audience":"b"}]}]`
	for range 2 {
		made(first)
		clients, err := store.List(t.Context(), registry.Query{})
		if err != nil || len(clients) != 8 {
			t.Fatalf("%+v, %v", clients, err)
		}
		for _, c := range clients {
			if c.Version != 1 || len(c.Secrets) != 0 || c.UsesSecret() || !slices.Equal(c.Audiences, []string{audience}) {
				t.Errorf("%+v", c)
			}
		}
	}
	made(strings.NewReplacer(":9", ":8", `"<1>"`, `"2"`, "CN=a", "CN=b", "a.example", "b.example", "urn:a", "urn:b", "192.0.2.1", "192.0.2.2").Replace(first))
	clients, err := store.List(t.Context(), registry.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if c.Version != 2 {
			t.Errorf("a change was not written: %+v", c)
		}
	}
	if err := os.WriteFile(file, []byte(strings.Replace(first, `"y":`, `"d":"hush","y":`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Clients(t.Context(), store, audience, audience); err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "CLIENTS: ") {
		t.Errorf("a private key: %v", err)
	}
}

// Every field that the file decides counts.
func TestSame(t *testing.T) {
	at := time.Now()
	c := registry.Client{
		ID: "a", Name: "b", Disabled: true, AuthMethod: registry.ClientSecretPost, JWKS: json.RawMessage(keySet), JWKSURI: "https://a",
		TLSClientAuthSubjectDN: "CN=a", TLSClientAuthSANDNS: "a", TLSClientAuthSANURI: "urn:a", TLSClientAuthSANIP: "192.0.2.1", TLSClientAuthSANEmail: "a@a",
		Workloads: []registry.Workload{{Issuer: "https://a", Subject: "b", Audience: "c"}}, DPoPBoundTokens: true, CertificateBoundTokens: true,
		Scopes: []string{"a"}, Audiences: []string{"b"}, DefaultAudience: "b", TokenTTL: time.Minute, Introspects: []string{"*"}, Metadata: map[string]string{"a": "b"},
		Secrets: []registry.Secret{{ID: "a"}}, Version: 1, CreatedAt: at, UpdatedAt: at,
	}
	own := []string{"Secrets", "Version", "CreatedAt", "UpdatedAt"}
	for n, field := range reflect.VisibleFields(reflect.TypeOf(c)) {
		changed := c.Clone()
		reflect.ValueOf(changed).Elem().Field(n).SetZero()
		if reflect.ValueOf(c).Field(n).IsZero() || same(&c, changed) != slices.Contains(own, field.Name) {
			t.Errorf("%s is new, or same is wrong about it", field.Name)
		}
	}
	if !same(&registry.Client{ID: "a", Scopes: []string{}}, &registry.Client{ID: "a", Metadata: map[string]string{}}) {
		t.Error("an empty list differs from none")
	}
}
