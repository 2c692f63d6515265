package storetest

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// oddKeySet is a JWK set whose spelling no JSON writer would choose.
const oddKeySet = " {\n\t\"keys\" : [ {\"kty\":\"EC\", \"kid\":\"<&> \u2028 ä \\u0000 \\/\", \"n\":1.50e+01, \"n\":[ ]} ], \"x\":\"'$1?%\"} \r\n"

// complete returns clients that together have every field set. No client can have all of
// them, because some exclude each other.
func complete() []registry.Client {
	_, first := registry.GenerateSecret()
	first.Label, first.ExpiresAt = "ä", time.Now().Add(time.Hour)
	workloads := []registry.Workload{
		{Issuer: "https://b.example/ü", Subject: "repo:acme/app:environment:Production EU", Audience: "https://issuer.example"},
		{Issuer: "https://a.example", Subject: "system:serviceaccount:a:*", Audience: "x", InsecureSharedSubject: true},
	}
	list := []registry.Client{
		{
			ID: oddID, Name: "name", Disabled: true, Secrets: []registry.Secret{first}, AuthMethod: registry.PrivateKeyJWT, JWKS: json.RawMessage(oddKeySet),
			Scopes: []string{"b", "a"}, Audiences: []string{"https://b.example", "https://a.example"}, DefaultAudience: "https://a.example", TokenTTL: time.Minute,
			Introspects: []string{"*"}, Metadata: map[string]string{"k": "v"}, TLSClientAuthSubjectDN: `CN=Größe\, "1"\00,O=<Example>`,
			Workloads: workloads, DPoPBoundTokens: true, CertificateBoundTokens: true,
		},
		{AuthMethod: registry.SelfSignedTLSClientAuth, JWKSURI: "http://127.0.0.1:1/jwks?a=b&c", TLSClientAuthSANDNS: "a.Example"},
		{AuthMethod: registry.TLSClientAuth, TLSClientAuthSANURI: "spiffe://a.example/b?c#d"},
		{TLSClientAuthSANIP: "2001:db8::1", DPoPBoundTokens: true},
		{TLSClientAuthSANEmail: "a'b@a.example", CertificateBoundTokens: true, Workloads: workloads[1:]},
		{},
	}
	for n := range list {
		list[n].ID = oddID
	}
	return list
}

// clientFields: what the store was opened with is read, field by field.
func clientFields(t *testing.T, open opener) {
	for _, want := range complete() {
		got, err := open(t, *want.Clone()).Client(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantFields(t, "read", *got, want)
	}
}

// managerFields: each field that Register and Update are given is kept and returned, in
// the step from any of these clients to the next, and back.
func managerFields(t *testing.T, m registry.Manager) {
	list := complete()
	secrets := list[0].Secrets
	stored := register(t, m, *list[0].Clone())
	wantFields(t, "registered", stored, list[0])
	back := slices.Clone(list)
	slices.Reverse(back)
	for _, want := range append(list, back...) {
		want.Version, want.Secrets = stored.Version, nil
		updated, err := m.Update(t.Context(), *want.Clone())
		if err != nil {
			t.Fatalf("Update: %v", err)
		}
		stored, want.Secrets = updated, secrets
		wantFields(t, "updated", updated, want)
		read, err := m.Client(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantFields(t, "read", *read, want)
		page, err := m.List(t.Context(), registry.Query{})
		if err != nil || len(page) != 1 {
			t.Fatalf("%d clients, %v", len(page), err)
		}
		wantFields(t, "listed", page[0], want)
	}
}

// wantFields fails for each field that differs, but for those that the store sets.
func wantFields(t *testing.T, what string, got, want registry.Client) {
	t.Helper()
	own := []string{"Version", "CreatedAt", "UpdatedAt", "Secrets"}
	x, y := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range x.NumField() {
		name := x.Type().Field(i).Name
		if a, b := x.Field(i), y.Field(i); !slices.Contains(own, name) && !reflect.DeepEqual(a.Interface(), b.Interface()) && (!isEmpty(a) || !isEmpty(b)) {
			t.Errorf("%s: %s is %q, want %q", what, name, a.Interface(), b.Interface())
		}
	}
	if !slices.EqualFunc(got.Secrets, want.Secrets, func(a, b registry.Secret) bool {
		return a.ID == b.ID && a.Hash == b.Hash && a.Label == b.Label && near(a.ExpiresAt, b.ExpiresAt)
	}) {
		t.Errorf("%s: the secrets are %+v, want %+v", what, got.Secrets, want.Secrets)
	}
}

// isEmpty reports whether a list or a map is nil or has no elements.
func isEmpty(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}
