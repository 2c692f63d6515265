package admin_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// beyondSchema are refusals of requests that are valid by the document, for reasons that
// a schema cannot express. The descriptions there say them in words.
var beyondSchema = regexp.MustCompile(`names something twice` + // scopes in one text
	`|is not in audiences` +
	`|has the form of a generated secret|it is a secret, not the id` +
	`|at most \d+ bytes|values of at most \d+|1 to 1024 bytes of printable` + // bytes, not characters
	`|UTF-8 without NUL` +
	`|is not the one in the URL|a PUT does not change` + // depends on the record
	`|needs (jwks|tls_client_auth_)|write one of them|is that of an earlier entry` + // two members, two entries
	`|cannot be used|has \d+ bytes|private or symmetric key` + // keys
	`|canonical form|write an https URL|is a default service account|is the subject of several programs|write \* at the end` +
	`|the client gets no secret` +
	`|the hash|the argon2id hash|bcrypt|a plain SHA-256` + // the form of a hash, and its cost
	`|Content-Type`)

// conforms checks a request to the API and its answer against the document.
func conforms(t *testing.T, r *http.Request, body string, w *httptest.ResponseRecorder) {
	t.Helper()
	escaped := r.URL.EscapedPath()
	for _, base := range []string{"/console", "/clients-of/us", "/clients-of/u%2Fs"} {
		escaped = strings.TrimPrefix(escaped, base)
	}
	where := fmt.Sprintf("%s %s %.80s: %d", r.Method, r.URL, body, w.Code)
	answer, err := readNode(w.Body.String())
	if err != nil && r.Method != http.MethodHead || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s: %s %q: %v", where, w.Header().Get("Content-Type"), w.Body, err)
		return
	}
	method := strings.ToLower(r.Method)
	if method == "head" {
		method = "get"
	}
	item, operation, allow := openAPI.find(escaped, method)
	switch {
	case operation == nil && (allow == "" && w.Code != 404 || allow != "" && w.Code != 405):
		t.Errorf("%s: the document has no such operation", where)
		return
	case operation == nil:
		if err := openAPI.check(openAPI.resolve("#/components/schemas/Error"), answer); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		if got := w.Header().Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, the document has %q", where, got, allow)
		}
		return
	}
	response := openAPI.at(operation, "responses", strconv.Itoa(w.Code))
	if response == nil {
		t.Errorf("%s: the document has no such status", where)
		return
	}
	if r.Method != http.MethodHead {
		if err := openAPI.check(openAPI.at(response, "content", "application/json")["schema"], answer); err != nil {
			t.Errorf("%s: the answer %s: %v", where, w.Body, err)
		}
	}
	for name := range openAPI.at(response, "headers") {
		if err := openAPI.check(openAPI.at(response, "headers", name)["schema"], w.Header().Get(name)); err != nil || w.Header().Get(name) == "" {
			t.Errorf("%s: the header %s: %q, %v", where, name, w.Header().Get(name), err)
		}
	}
	valid := openAPI.validQuery(item, operation, r.URL.RawQuery)
	if valid == nil && operation["requestBody"] != nil {
		valid = openAPI.validBody(openAPI.at(operation, "requestBody"), body)
	}
	object, _ := answer.(map[string]any)
	description, _ := object["error_description"].(string)
	switch refused := w.Code == 400 || w.Code == 413; {
	case valid != nil && w.Code < 400:
		t.Errorf("%s: the document forbids the request: %v", where, valid)
	case valid == nil && refused && w.Code == 400 && !beyondSchema.MatchString(description):
		t.Errorf("%s: the document allows the request, refused was: %s", where, description)
	}
}

// find returns the operation for an escaped path, with the object of its path. Of several
// paths that match it is the one with the fewest parameters. allow lists the methods that
// they have.
func (d *document) find(escaped, method string) (item, operation map[string]any, allow string) {
	segments, fewest := strings.Split(escaped, "/"), 0
	allowed := map[string]bool{}
next:
	for path := range d.at(d.root, "paths") {
		names := strings.Split(path, "/")
		if len(names) != len(segments) {
			continue
		}
		for n, name := range names {
			value := segments[n]
			if name != value && (name == "" || name[0] != '{' || value == "" || value == "." || value == "..") {
				continue next
			}
		}
		matching := d.at(d.root, "paths", path)
		for _, name := range methods {
			if matching[name] != nil {
				allowed[strings.ToUpper(name)] = true
			}
		}
		if n := strings.Count(path, "{"); matching[method] != nil && (operation == nil || n < fewest) {
			item, operation, fewest = matching, d.at(matching, method), n
		}
	}
	if allowed["GET"] {
		allowed["HEAD"] = true
	}
	return item, operation, strings.Join(slices.Sorted(maps.Keys(allowed)), ", ")
}

func (d *document) validQuery(item, operation map[string]any, raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return err
	}
	for _, p := range d.parameters(item, operation) {
		name := fmt.Sprint(p["name"])
		given := query[name]
		if p["in"] != "query" || len(given) == 0 {
			continue
		}
		delete(query, name)
		if len(given) > 1 {
			return fmt.Errorf("%s is there twice", name)
		}
		if given[0] == "" && p["allowEmptyValue"] == true {
			continue
		}
		var value node = given[0]
		if p["schema"].(map[string]any)["type"] != "string" {
			if value, err = readNode(given[0]); err != nil {
				return err
			}
		}
		if err := d.check(p["schema"], value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(query) > 0 {
		return fmt.Errorf("unknown parameters: %v", query)
	}
	return nil
}

func (d *document) validBody(of map[string]any, body string) error {
	if len(body) > 64<<10 {
		return fmt.Errorf("%d bytes", len(body))
	}
	if body == "" {
		if of["required"] == true {
			return fmt.Errorf("no body")
		}
		return nil
	}
	value, err := readNode(body)
	if err != nil {
		return err
	}
	return d.check(d.at(of, "content", "application/json")["schema"], value)
}

// publicKey is a JWK.
const publicKey = `{"kty":"EC","crv":"P-256","kid":"<1>","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}`

// workload is the member workload with one entry, which may have more members.
func workload(issuer, subject, audience, more string) string {
	return fmt.Sprintf(`[{"issuer":%q,"subject":%q,"audience":%q%s}]`, issuer, subject, audience, more)
}

// Each member of each request is tried with values of every type, at its bounds and
// beyond. What the document allows is done, and what it forbids is refused.
func TestOpenAPIAgreesWithTheReader(t *testing.T) {
	store, err := registry.NewMemory()
	if err != nil {
		t.Fatal(err)
	}
	o := newOfficeOn(t, store)
	o.do("POST", "/console/clients", `{"client_id":"app","audiences":["a"]}`, 201)
	values := []string{
		"null", "true", "false", "0", "0.0", "1", "-1", "1.5", "3e2", "300.0", "1e400", "1e99999999999", "1e-99999999999",
		"31536000", "31536001", "253402300799", "253402300800", "9223372036854775807", "9223372036854775808",
		`""`, `"a"`, `"."`, `".."`, `"a b"`, `"a  b"`, `" a"`, `"a\n"`, `"a\\b"`, `"ü"`, `"a a"`, `"*"`, `"client_credentials"`, `"client_secret_basic"`, `"client_secret_post"`, `"none"`,
		`"` + hashOf(t, "x") + `"`, `[]`, `[""]`, `["a"]`, `["a","b"]`, `["a","a"]`, `["a b"]`, `[null]`, `[1]`, `[["a"]]`, `["client_credentials"]`, `["client_credentials","client_credentials"]`,
		`{}`, `{"a":"b"}`, `{"a":""}`, `{"a":null}`, `{"a":1}`, `{"":"b"}`, `{"a":{"b":"c"}}`, `[{}]`, `[{"secret_id":"a","generated":true}]`, `[{"secret_id":"a","generated":true,"hash":"x"}]`,
	}
	for _, length := range []int{64, 65, 256, 257, 512, 513, 1024, 1025} {
		text := strings.Repeat("x", length)
		values = append(values, `"`+text+`"`, `["`+text+`"]`, `{"`+text+`":"a"}`, `{"a":"`+text+`"}`)
	}
	for _, entries := range []int{32, 33} {
		var list []string
		for n := range entries {
			list = append(list, fmt.Sprintf(`"k%d":"v"`, n))
		}
		values = append(values, "{"+strings.Join(list, ",")+"}")
	}
	credentials := []string{
		`"private_key_jwt"`, `"tls_client_auth"`, `"self_signed_tls_client_auth"`, `"https://a.example/keys?a=b"`, `"http://127.0.0.1:1/keys"`, `"http://a.example"`, `"https://a.example#b"`, `"https://"`, `"HTTPS://a.example"`,
		`"CN=a"`, `" CN=a"`, `"=a"`, `"a.Example"`, `"a..b"`, `"-a"`, `"*.a"`, `"192.0.2.1"`, `"2001:db8::1"`, `"2001:DB8::1"`, `"fe80::1%eth0"`, `"a@a.example"`, `"@a"`, `"urn:a"`, `"1:a"`,
		`{"keys":[]}`, `{"keys":[{}]}`, `{"keys":{}}`, `{"keys":null}`, `{"keys":[null]}`, `{"Keys":[{}]}`, `{"keys":[{"kty":"EC","d":"a"}]}`, `{"keys":[` + publicKey + `]}`, `{"keys":[` + publicKey + `],"x":1}`, `{"keys":[` + publicKey + `,` + publicKey + `]}`,
		workload("https://a.example", "a", "b", ""), workload("https://a.example", "a*", "b", ""), workload("https://a.example", "a*", "b", `,"insecure_shared_subject":true`), workload("https://a.example", "*", "b", `,"insecure_shared_subject":true`),
		workload("https://a.example", "a", "b", `,"insecure_shared_subject":null`), workload("https://a.example", "a", "b", `,"insecure_shared_subject":1`), workload("https://a.example", "a", "b", `,"x":1`), workload("https://a.example", "a", "b", `,"Issuer":"c"`),
		workload("spiffe://a.example", "a b", "b", ""), workload("spiffe://a.example/b", "a", "b", ""), workload("http://127.0.0.1:1", "a", "b", ""), workload("http://a.example", "a", "b", ""), workload("a", "a", "b", ""), workload("", "", "", ""),
		workload("https://a.example", "system:serviceaccount:a:default", "b", ""), workload("https://a.example", "a", "b c", ""), `[{"issuer":"https://a.example","subject":"a"}]`, `[{"issuer":"https://a.example","subject":"a","audience":null}]`,
	}
	accepted, refused := 0, 0
	for _, request := range []struct{ method, path, schema string }{
		{"POST", "/clients", "ClientRegistration"},
		{"PUT", "/clients/app", "ClientUpdate"},
		{"POST", "/clients/app/secrets", "Rotation"},
		{"POST", "/clients/app/secrets/add", "SecretAddition"},
	} {
		send := func(body string) {
			t.Helper()
			r := httptest.NewRequest(request.method, "/console"+request.path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			o.plain.ServeHTTP(w, r)
			conforms(t, r, body, w)
			if w.Code < 300 {
				accepted++
			} else {
				refused++
			}
		}
		version := func() string {
			if request.method != "PUT" {
				return ""
			}
			return fmt.Sprintf(`"version":%v,`, o.do("GET", "/console/clients/app", "", 200)["version"])
		}
		members := openAPI.at(openAPI.root, "components", "schemas", request.schema, "properties")
		for member := range members {
			tried := values
			if strings.HasPrefix(member, "jwks") || strings.HasPrefix(member, "t") || member == "workload" {
				tried = slices.Concat(values, credentials)
			}
			for _, value := range tried {
				first := version()
				if member == "version" {
					first = ""
				}
				send("{" + first + fmt.Sprintf("%q:%s}", member, value))
			}
		}
		for _, body := range []string{"", "{}", "null", "[]", `"a"`, `{"unknown":1}`, `{"Client_id":"a"}`, `{"label":"a","label":"b"}`, `{"client_id":"a","client_id":"b"}`, `{"revoke":true,"overlap":0}`, `{"revoke":true,"overlap":1}`, `{"revoke":false,"overlap":1}`, `{"revoke":true,"overlap":null}`, `{"secret_id":"a","client_secret_hash":""}`, `{"secret_id":"a","client_secret_hash":null}`, `{"secret_id":"","client_secret_hash":null}`} {
			send(body)
		}
		send("{" + version() + `"audiences":["a","b"],"default_audience":"b"}`)
	}
	if accepted < 300 || refused < 1000 {
		t.Errorf("%d requests were done and %d refused", accepted, refused)
	}
}

// The document has each path of the API and its methods; see routes_test.go for those
// of the API that the document lacks.
func TestOpenAPIPathsExist(t *testing.T) {
	o := newOffice(t)
	openAPI.operations(func(path, method string, _, _ map[string]any) {
		r := httptest.NewRequest("BREW", strings.NewReplacer("{id}", "x", "{secret}", "y").Replace("/console"+path), http.NoBody)
		w := httptest.NewRecorder()
		o.plain.ServeHTTP(w, r)
		if w.Code != 405 || !slices.Contains(strings.Split(w.Header().Get("Allow"), ", "), method) {
			t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
		}
	})
}
