package tool

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// settable are the fields of a client, the flags that set them, and a value of each.
var settable = map[string]struct {
	flag, text string
	value      any
}{
	"Name":                   {"name", "Billing job", "Billing job"},
	"Disabled":               {"disabled", "true", true},
	"AuthMethod":             {"auth-method", "client_secret_post", "client_secret_post"},
	"Scopes":                 {"scope", "b a", []string{"b", "a"}},
	"Audiences":              {"audience", "https://a.example.com,https://b.example.com", []string{"https://a.example.com", "https://b.example.com"}},
	"DefaultAudience":        {"default-audience", "https://b.example.com", "https://b.example.com"},
	"Introspects":            {"introspects", "* https://a.example.com", []string{"*", "https://a.example.com"}},
	"TokenTTL":               {"ttl", "5m", 5 * time.Minute},
	"Metadata":               {"metadata", "tenant=acme", map[string]string{"tenant": "acme"}},
	"JWKS":                   {"jwks", "FILE", json.RawMessage(keySet)},
	"JWKSURI":                {"jwks-uri", "https://a.example.com/jwks", "https://a.example.com/jwks"},
	"TLSClientAuthSubjectDN": {"tls-subject-dn", "CN=a, b", "CN=a, b"},
	"TLSClientAuthSANDNS":    {"tls-san-dns", "a.example.com", "a.example.com"},
	"TLSClientAuthSANURI":    {"tls-san-uri", "urn:a", "urn:a"},
	"TLSClientAuthSANIP":     {"tls-san-ip", "192.0.2.1", "192.0.2.1"},
	"TLSClientAuthSANEmail":  {"tls-san-email", "a@example.com", "a@example.com"},
	"Workloads":              {"workload", "https://ci.example.com repo:a b https://a.example.com", []registry.Workload{{Issuer: "https://ci.example.com", Subject: "repo:a b", Audience: "https://a.example.com"}}},
	"DPoPBoundTokens":        {"dpop-bound", "true", true},
	"CertificateBoundTokens": {"certificate-bound", "true", true},
}

// keySet is a JWK set.
const keySet = `{"keys": [{"kty":"EC","crv":"P-256","kid":"<1>","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}]}`

// TestSetEveryField sets and clears every field of a client that is an operator's to
// decide: those that exclude each other alone, and all others at once. A new field of
// registry.Client fails here until set knows it.
func TestSetEveryField(t *testing.T) {
	own := []string{"ID", "Secrets", "Version", "CreatedAt", "UpdatedAt"} // those of the store, and of other verbs
	alone := []string{"JWKSURI", "TLSClientAuthSANDNS", "TLSClientAuthSANURI", "TLSClientAuthSANIP", "TLSClientAuthSANEmail"}
	b := newBench(t, registry.Client{ID: "a"})
	b.file("FILE", keySet)
	want := func(name string, value any) {
		t.Helper()
		if got := reflect.ValueOf(*b.client("a")).FieldByName(name).Interface(); !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %v, want %v", name, got, value)
		}
	}
	wantEmpty := func(name string) {
		t.Helper()
		if got := reflect.ValueOf(*b.client("a")).FieldByName(name); !got.IsZero() && (got.Kind() != reflect.Slice && got.Kind() != reflect.Map || got.Len() > 0) {
			t.Errorf("%s is %v after -clear", name, got)
		}
	}
	var all, clears []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[registry.Client]()) {
		s, ok := settable[field.Name]
		switch {
		case slices.Contains(own, field.Name):
			continue
		case !ok || clearable[s.flag] == nil:
			t.Fatalf("set does not know the field %s", field.Name)
		}
		arg := "-" + s.flag + "=" + strings.ReplaceAll(s.text, "FILE", filepath.Join(b.dir, "FILE"))
		if !slices.Contains(alone, field.Name) {
			all, clears = append(all, arg), append(clears, s.flag)
			continue
		}
		b.do("set", "a", arg)
		want(field.Name, s.value)
		b.do("set", "a", "-clear", s.flag)
		wantEmpty(field.Name)
	}
	b.do(append([]string{"set", "a"}, all...)...)
	for name, s := range settable {
		if !slices.Contains(alone, name) {
			want(name, s.value)
		}
	}
	for _, name := range clears {
		if name == "audience" {
			continue // the default audience is one of them
		}
		b.do("set", "a", "-clear", name)
	}
	b.do("set", "a", "-clear", "audience")
	for name := range settable {
		wantEmpty(name)
	}
	if len(all)+len(alone) != len(settable) || len(clearable) != len(settable) {
		t.Errorf("%d flags, %d can be cleared, want %d", len(all)+len(alone), len(clearable), len(settable))
	}
}

// TestSet changes the named fields alone.
func TestSet(t *testing.T) {
	b := newBench(t, registry.Client{ID: "a", Name: "A", Scopes: []string{"x"}, Metadata: map[string]string{"tenant": "acme", "plan": "gold"}})
	b.do("set", "a", "-metadata", "plan=", "-metadata", "region=eu", "-clear", "metadata.tenant")
	c := b.client("a")
	if c.Name != "A" || !slices.Equal(c.Scopes, []string{"x"}) || !maps.Equal(c.Metadata, map[string]string{"plan": "", "region": "eu"}) {
		t.Errorf("after set: %+v", c)
	}
	b.do("set", "a", "-name", "")
	if c := b.client("a"); c.Name != "" {
		t.Errorf("the name is %q", c.Name)
	}
	version := b.client("a").Version
	b.do("set", "a", "-scope", "x")
	if now := b.client("a").Version; now != version {
		t.Error("a client that has these values already was written")
	}
	b.refused("name a field to change", "set", "a", "-json")
	b.refused("-clear colour", "set", "a", "-clear", "colour")
	b.refused("Client.TokenTTL", "set", "a", "-ttl", "1500ms")
	b.refused("is not in Client.Audiences", "set", "a", "-default-audience", apiURL)
}

// TestSetConflict refuses a change of a client that another call has changed since it
// was read.
func TestSetConflict(t *testing.T) {
	b := newBench(t, registry.Client{ID: "a"})
	store := b.clients
	b.clients = &changing{store, func(ctx context.Context) error {
		_, err := store.Update(ctx, registry.Client{ID: "a", Name: "theirs", Version: 1})
		return err
	}}
	b.refused("memory: the client was changed by another call just now", "set", "a", "-name", "ours")
	if c := b.client("a"); c.Name != "theirs" {
		t.Errorf("the name is %q", c.Name)
	}
}
