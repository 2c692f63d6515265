package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
)

// fieldBodies are records that together have every field of a client that an operator
// decides. No record can have all, because some exclude each other.
var fieldBodies = []string{
	`{"client_name":"Ä","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[` + publicKey + `]},"tls_client_auth_subject_dn":"CN=Größe,O=<a>","scope":"b a","audiences":["https://a"],"default_audience":"https://a",` +
		`"introspects":["*"],"token_ttl":60,"metadata":{"a":"b"},"disabled":true,"workload":[{"issuer":"https://a.example","subject":"a*","audience":"b","insecure_shared_subject":true},{"issuer":"https://a.example","subject":"c","audience":"b"}],` +
		`"dpop_bound_access_tokens":true,"tls_client_certificate_bound_access_tokens":true}`,
	`{"token_endpoint_auth_method":"self_signed_tls_client_auth","jwks_uri":"https://a.example/keys?a=b","tls_client_auth_san_dns":"a.example"}`,
	`{"token_endpoint_auth_method":"tls_client_auth","tls_client_auth_san_uri":"spiffe://a.example/b"}`,
	`{"tls_client_auth_san_ip":"2001:db8::1"}`,
	`{"tls_client_auth_san_email":"a@a.example"}`,
	`{}`,
}

// Every field goes in by POST, PUT and a file, comes out by GET, and can be sent back. A
// new field of registry.Client fails here until the API has it.
func TestEveryFieldOfTheAPI(t *testing.T) {
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	o := newOfficeOn(t, store)
	seen := map[string]bool{"ID": true, "Secrets": true, "Version": true, "CreatedAt": true, "UpdatedAt": true} // those of the store, and of other requests
	o.do("POST", "/console/clients", `{"client_id":"put"}`, 201)
	for n, body := range append(slices.Clone(fieldBodies), fieldBodies[0]) {
		id := fmt.Sprint("c", n)
		var want map[string]any
		if err := json.Unmarshal([]byte(body), &want); err != nil {
			t.Fatal(err)
		}
		check := func(way string, got map[string]any, id string) {
			t.Helper()
			for _, own := range []string{"client_id", "client_id_issued_at", "grant_types", "version", "secrets", "client_secret", "client_secret_expires_at"} {
				delete(got, own)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v", way, got, want)
			}
			stored, err := store.Client(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			fields := reflect.ValueOf(*stored)
			for i := range fields.NumField() {
				if !fields.Field(i).IsZero() {
					seen[fields.Type().Field(i).Name] = true
				}
			}
			records, err := admin.ReadRecords([]byte(`[{"client_id":"` + id + `",` + strings.TrimPrefix(strings.Replace(body, "{}", `{"scope":""}`, 1), "{") + `]`))
			if err != nil {
				t.Fatalf("%s, in a file: %v", body, err)
			}
			file := records[0].Client
			file.Secrets, file.Version, file.CreatedAt, file.UpdatedAt = stored.Secrets, stored.Version, stored.CreatedAt, stored.UpdatedAt
			if !sameText(file.JWKS, stored.JWKS) {
				t.Errorf("%s: a file has the keys %s, the store %s", way, file.JWKS, stored.JWKS)
			}
			file.JWKS, stored.JWKS = nil, nil
			if !reflect.DeepEqual(file, *stored) {
				t.Errorf("a file has %+v, the store %+v", file, stored)
			}
		}
		check("POST", o.do("POST", "/console/clients", `{"client_id":"`+id+`",`+strings.TrimPrefix(strings.Replace(body, "{}", `{"scope":""}`, 1), "{"), 201), id)
		check("GET", o.do("GET", "/console/clients/"+id, "", 200), id)
		version := o.do("GET", "/console/clients/put", "", 200)["version"]
		check("PUT", o.do("PUT", "/console/clients/put", fmt.Sprintf(`{"version":%v,`, version)+strings.TrimPrefix(strings.Replace(body, "{}", `{"scope":""}`, 1), "{"), 200), "put")
		check("PUT of what GET gave", o.do("PUT", "/console/clients/put", o.raw("/console/clients/put"), 200), "put")
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[registry.Client]()) {
		if !seen[field.Name] {
			t.Errorf("no request sets Client.%s", field.Name)
		}
	}
}

// raw returns the answer to a GET as it is.
func (o *office) raw(path string) string {
	o.Helper()
	w := httptest.NewRecorder()
	o.plain.ServeHTTP(w, httptest.NewRequest("GET", path, http.NoBody))
	return w.Body.String()
}

// sameText reports whether two key sets have the same text but for white space.
func sameText(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return len(a)+len(b) == 0 || json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && x.String() == y.String()
}

// A client that authenticates with something else gets no secret, unless a hash is
// imported. One can be added later.
func TestClientWithoutSecret(t *testing.T) {
	o := newOffice(t)
	const base = "/console/clients"
	keyed := `"audiences":["https://api.example.com"],"jwks":{"keys":[` + publicKey + `]}`
	got := o.do("POST", base, `{"client_id":"keyed",`+keyed+`}`, 201)
	if got["client_secret"] != nil || got["client_secret_expires_at"] != nil || got["secrets"] != nil {
		t.Errorf("%v", got)
	}
	for member, value := range map[string]string{"label": `"x"`, "client_secret_expires_at": "4102444800"} {
		if got := o.do("POST", base, `{"client_id":"refused",`+keyed+`,"`+member+`":`+value+`}`, 400); !strings.HasPrefix(fmt.Sprint(got["error_description"]), member+": the client gets no secret") {
			t.Errorf("%s: %v", member, got)
		}
	}
	o.do("GET", base+"/refused", "", 404)
	for n, more := range []string{`"token_endpoint_auth_method":"client_secret_basic"`, `"label":"moving","client_secret_hash":"` + hashOf(t, "x") + `"`} {
		id := fmt.Sprint("moving", n)
		if got := o.do("POST", base, `{"client_id":"`+id+`",`+keyed+`,`+more+`}`, 201); got["secrets"] == nil || got["client_secret_expires_at"] == nil || (got["client_secret"] == nil) != (n == 1) {
			t.Errorf("%s: %v", id, got)
		}
	}
	secret, _ := o.do("POST", base+"/keyed/secrets/add", "", 201)["client_secret"].(string)
	if _, status := o.token("keyed", secret); status != 200 {
		t.Errorf("a secret that was added: %d", status)
	}
	record := o.do("GET", base+"/keyed", "", 200)
	record["token_endpoint_auth_method"] = registry.PrivateKeyJWT
	body, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	o.do("PUT", base+"/keyed", string(body), 200)
	if _, status := o.token("keyed", secret); status != 401 {
		t.Errorf("the secret of a client whose only method is private_key_jwt: %d", status)
	}
}

// What is wrong with keys and workloads is said in the words of the request, and no
// answer repeats a private key.
func TestRefusedCredentials(t *testing.T) {
	o := newOffice(t)
	key := func(more string) string { return `{"jwks":{"keys":[` + publicKey + `,{"kid":"two",` + more + `}]}}` }
	for body, says := range map[string]string{
		key(`"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"`):                                      `jwks: the key with the kid "two" cannot be used: `,
		key(`"kty":"EC","crv":"secp256k1","x":"AAAA","y":"AA"`):                                    `jwks: the key with the kid "two" cannot be used: `,
		key(`"kty":"RSA","n":"AQAB","e":"AQAB"`):                                                   `jwks: the key with the kid "two" cannot be used: `,
		key(`"kty":"EC","kty":"EC"`):                                                               `jwks: a key without a kid cannot be used: `,
		key(`"kty":"unknown"`):                                                                     `jwks: the key with the kid "two" cannot be used: `,
		`{"jwks":{"keys":[` + publicKey[:len(publicKey)-1] + `,"use":"enc"}]}}`:                    `jwks: the key with the kid "<1>" cannot be used: `,
		key(`"kty":"EC","crv":"P-256","x":"A","d":"hush"`):                                         `jwks: keys[1] has the member "d" of a private or symmetric key`,
		key(`"kty":"oct","k":"hush"`):                                                              `jwks: keys[1] has the member "k" of a private or symmetric key`,
		`{"jwks":{"keys":[` + publicKey + `],"keys":[{}]}}`:                                        `jwks: is no JWK set`,
		`{"jwks":{"kty":"EC","d":"hush"}}`:                                                         `jwks: is no JWK set`,
		`{"jwks":"{\"keys\":[{}]}"}`:                                                               `jwks: is no JWK set`,
		`{"jwks":{"keys":[` + publicKey + `]},"jwks_uri":"https://a.example"}`:                     `jwks_uri: is set beside jwks: write one of them`,
		`{"tls_client_auth_san_dns":"a","tls_client_auth_san_ip":"192.0.2.1"}`:                     `tls_client_auth_san_ip: is set beside tls_client_auth_san_dns: write one of them`,
		`{"token_endpoint_auth_method":"private_key_jwt"}`:                                         `token_endpoint_auth_method: private_key_jwt needs jwks, jwks_uri or workload`,
		`{"token_endpoint_auth_method":"tls_client_auth"}`:                                         `token_endpoint_auth_method: tls_client_auth needs tls_client_auth_subject_dn or one of the four tls_client_auth_san_…`,
		`{"token_endpoint_auth_method":"self_signed_tls_client_auth"}`:                             `token_endpoint_auth_method: self_signed_tls_client_auth needs jwks or jwks_uri`,
		`{"workload":` + workload("https://a.example", "a*", "b", "") + `}`:                        `workload[0].subject: "a*" is the subject of several programs: write one without *, or set insecure_shared_subject`,
		`{"workload":` + workload("http://a.example", "a", "b", "") + `}`:                          `workload[0].issuer: "http://a.example": write an https URL`,
		`{"workload":[{"issuer":"https://a.example","subject":"a","subject":"b","audience":"c"}]}`: `workload: `,
		`{"workload":[{"issuer":"https://a.example","Subject":"a","audience":"c"}]}`:               `workload: unknown member "Subject"`,
		`{"dpop_bound_access_tokens":"yes"}`:                                                       `dpop_bound_access_tokens: `,
	} {
		for _, way := range []string{"POST", "file"} {
			var said string
			if way == "POST" {
				said = fmt.Sprint(o.do("POST", "/console/clients", body, 400)["error_description"])
			} else {
				_, err := admin.ReadRecords([]byte(`[{"client_id":"c",` + body[1:] + `]`))
				said = fmt.Sprint(err)
			}
			if !strings.Contains(said, says) || strings.Contains(said, "hush") || strings.Contains(said, "Client.") {
				t.Errorf("%s %s: %s, want %s", way, body, said, says)
			}
		}
	}
}

// A record with a key set of the greatest size can be read and sent back.
func TestLargestKeySet(t *testing.T) {
	o := newOffice(t)
	set := `{"keys":[` + publicKey + `],"x":"` + strings.Repeat("x", 32<<10-len(publicKey)-len(`{"keys":[],"x":""}`)) + `"}`
	o.do("POST", "/console/clients", `{"client_id":"large","jwks":`+set+`}`, 201)
	o.do("PUT", "/console/clients/large", o.raw("/console/clients/large"), 200)
	o.do("POST", "/console/clients", `{"client_id":"larger","jwks":`+strings.Replace(set, `"x":"`, `"x":"x`, 1)+`}`, 400)
}
