package registry

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// complete has every field set, also those that exclude each other.
func complete(t *testing.T) Client {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := Client{
		ID: "a", Name: "b", Disabled: true, Secrets: []Secret{{ID: "c", Hash: "d"}}, AuthMethod: ClientSecretBasic,
		JWKS: json.RawMessage(publicSet), JWKSURI: "https://keys.example",
		TLSClientAuthSubjectDN: "CN=a", TLSClientAuthSANDNS: "a.example", TLSClientAuthSANURI: "urn:a", TLSClientAuthSANIP: "192.0.2.1", TLSClientAuthSANEmail: "a@a.example",
		Workloads: []Workload{{"https://ci.example", "repo:a*", "https://issuer.example", true}}, DPoPBoundTokens: true, CertificateBoundTokens: true,
		Scopes: []string{"e"}, Audiences: []string{"f"}, DefaultAudience: "f", TokenTTL: time.Minute, Introspects: []string{"*"},
		Metadata: map[string]string{"g": "h"}, Version: 2, CreatedAt: at, UpdatedAt: at,
	}
	for _, v := range []reflect.Value{reflect.ValueOf(c), reflect.ValueOf(c.Workloads[0])} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Fatalf("%s.%s is new: set it here", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	return c
}

// The names are those of RFC 7591, section 2, RFC 8705 and RFC 9449 where they have them.
func TestClientJSON(t *testing.T) {
	c := complete(t)
	text, err := json.Marshal(c)
	const want = `{"client_id":"a","client_name":"b","disabled":true,"secrets":[{"secret_id":"c","hash":"d"}],` +
		`"token_endpoint_auth_method":"client_secret_basic","jwks":` + publicSet + `,"jwks_uri":"https://keys.example",` +
		`"tls_client_auth_subject_dn":"CN=a","tls_client_auth_san_dns":"a.example","tls_client_auth_san_uri":"urn:a","tls_client_auth_san_ip":"192.0.2.1","tls_client_auth_san_email":"a@a.example",` +
		`"workload":[{"issuer":"https://ci.example","subject":"repo:a*","audience":"https://issuer.example","insecure_shared_subject":true}],` +
		`"dpop_bound_access_tokens":true,"tls_client_certificate_bound_access_tokens":true,` +
		`"scopes":["e"],"audiences":["f"],"default_audience":"f","token_ttl":60000000000,"introspects":["*"],"metadata":{"g":"h"},` +
		`"version":2,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
	var back Client
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("%+v, %v", back, err)
	}
	if text, err := json.Marshal(Client{ID: "a"}); err != nil || string(text) != `{"client_id":"a"}` {
		t.Errorf("%s, %v, want no members without a value", text, err)
	}
}

// A clone shares no memory with the client: each list and map of every field is a copy.
func TestClone(t *testing.T) {
	c := complete(t)
	copied := c.Clone()
	if !reflect.DeepEqual(*copied, c) {
		t.Errorf("%+v, want %+v", copied, c)
	}
	from, to := reflect.ValueOf(c), reflect.ValueOf(*copied)
	for i := range from.NumField() {
		kind, name := from.Field(i).Kind(), from.Type().Field(i).Name
		if (kind == reflect.Slice || kind == reflect.Map) && from.Field(i).Pointer() == to.Field(i).Pointer() {
			t.Errorf("the clone shares %s", name)
		}
		if kind == reflect.Pointer || kind == reflect.Interface {
			t.Errorf("this test cannot tell whether %s is shared", name)
		}
	}
	if (*Client)(nil).Clone() != nil {
		t.Error("the copy of nil is not nil")
	}
}
