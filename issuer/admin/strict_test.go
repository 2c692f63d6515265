package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/jwks/event"
)

// What a store would refuse is the caller's fault, and named as the caller wrote it.
func TestRefusesWhatAStoreWould(t *testing.T) {
	o := newOffice(t)
	const base = "/console/clients"
	o.do("POST", base, `{"client_id":"app","audiences":["https://api.example.com"]}`, 201)
	long := strings.Repeat("x", 1025)
	for body, member := range map[string]string{
		`{"client_name":"` + long + `"}`:                                 "client_name",
		`{"client_name":"a\u0000b"}`:                                     "client_name",
		`{"client_id":"` + long + `"}`:                                   "client_id",
		`{"client_id":"ü"}`:                                              "client_id",
		`{"audiences":["` + long + `"]}`:                                 "audiences",
		`{"audiences":[""]}`:                                             "audiences",
		`{"audiences":["https://a","https://a"]}`:                        "audiences",
		`{"introspects":["` + long + `"]}`:                               "introspects",
		`{"default_audience":"https://other"}`:                           "default_audience",
		`{"metadata":{"":"x"}}`:                                          "metadata",
		`{"metadata":{"a":"\u0000"}}`:                                    "metadata",
		`{"token_ttl":-1}`:                                               "token_ttl",
		`{"token_ttl":"soon"}`:                                           "token_ttl",
		`{"token_ttl":99999999999999999999}`:                             "token_ttl",
		`{"audiences":"https://api.example.com"}`:                        "audiences",
		`{"token_endpoint_auth_method":"private_key_jwt"}`:               "token_endpoint_auth_method",
		`{"client_secret":"mine"}`:                                       "client_secret",
		`{"client_id_issued_at":1}`:                                      "client_id_issued_at",
		`{"version":1}`:                                                  "version",
		`{"secrets":[]}`:                                                 "client_secret",
		`{"metadata":{"a":"1","a":"2"}}`:                                 "metadata",
		`{"metadata":{"a":{}}}`:                                          "metadata",
		`{"client_secret_expires_at":1}`:                                 "client_secret_expires_at",
		`{"grant_types":["password"]}`:                                   "grant_types",
		`{"scope":"orders:read","SCOPE":"clients:admin"}`:                "SCOPE",
		`{"secrets":[{"secret_id":"a","secret_id":"b"}]}`:                "secrets",
		`{"secrets":[{"secret_id":"a","Label":"b"}]}`:                    "secrets",
		`{"client_name":"` + strings.Repeat("é", 513) + `","scope":"a"}`: "client_name",
	} {
		got := o.do("POST", base, body, 400)
		description, _ := got["error_description"].(string)
		if !strings.Contains(description, member) || strings.Contains(description, "Client.") || strings.Contains(description, "registry") || strings.Contains(description, "Go ") {
			t.Errorf("%.80s: %v, want %s named", body, got, member)
		}
	}
	for body, member := range map[string]string{`{"label":"` + long + `"}`: "label", `{"label":"a\u0000"}`: "label", `{"overlap":"1"}`: "overlap", `{"Revoke":true}`: "Revoke"} {
		if got := o.do("POST", base+"/app/secrets", body, 400); !strings.Contains(fmt.Sprint(got["error_description"]), member) {
			t.Errorf("%.80s: %v, want %s named", body, got, member)
		}
	}
	// No question that a database refuses is asked.
	for _, path := range []string{"/%00", "/%FF", "/" + long, "/app/secrets/%00/revoke"} {
		method := "GET"
		if strings.HasSuffix(path, "/revoke") {
			method = "POST"
		}
		o.do(method, base+path, "", 404)
	}
	for _, query := range []string{"?search=%00", "?after=%FF", "?search=" + long, "?limit=1&limit=2", "?Limit=1", "?x=", "?search=%zz", "?a;b"} {
		o.do("GET", base+query, "", 400)
	}
	o.do("GET", base+"?search=&after=&limit=", "", 200)
	o.do("POST", base+"/app/revoke?revoke=true", "", 400)
	o.do("GET", base+"/app?limit=1", "", 400)
}

// A PUT takes what GET gave, and refuses what it cannot write.
func TestPutWhatGetGave(t *testing.T) {
	o := newOffice(t)
	const base = "/console/clients"
	registered := o.do("POST", base, `{"client_id":"rt","audiences":["https://api.example.com"]}`, 201)
	o.do("POST", base+"/rt/secrets", `{"label":"second"}`, 201)
	got := o.do("GET", base+"/rt", "", 200)
	text := func(change func(map[string]any)) string {
		copied := map[string]any{}
		if raw, err := json.Marshal(got); err != nil || json.Unmarshal(raw, &copied) != nil {
			t.Fatal(err)
		}
		change(copied)
		raw, err := json.Marshal(copied)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for member, change := range map[string]func(map[string]any){
		"client_secret":            func(m map[string]any) { m["client_secret"] = "mine" },
		"client_secret_expires_at": func(m map[string]any) { m["client_secret_expires_at"] = 0 },
		"client_id_issued_at":      func(m map[string]any) { m["client_id_issued_at"] = 1 },
		"secrets":                  func(m map[string]any) { m["secrets"] = []any{} },
	} {
		if got := o.do("PUT", base+"/rt", text(change), 400); got["error"] != "invalid_client_metadata" || !strings.HasPrefix(fmt.Sprint(got["error_description"]), member+":") {
			t.Errorf("%s: %v", member, got)
		}
	}
	o.do("PUT", base+"/rt", text(func(m map[string]any) {
		secrets, _ := m["secrets"].([]any)
		secret, _ := secrets[0].(map[string]any)
		secret["label"] = "renamed"
	}), 400)
	for _, member := range []string{"label", "expires_at", "last_used_at"} {
		got := o.do("PUT", base+"/rt", text(func(m map[string]any) {
			secrets, _ := m["secrets"].([]any)
			secret, _ := secrets[0].(map[string]any)
			secret[member] = nil
		}), 400)
		if description := fmt.Sprint(got["error_description"]); !strings.Contains(description, "secrets") || !strings.Contains(description, member) {
			t.Errorf("null for %s of a secret: %v", member, got)
		}
	}
	o.do("PUT", base+"/rt", text(func(map[string]any) {}), 200)
	if _, status := o.token("rt", fmt.Sprint(registered["client_secret"])); status != 200 {
		t.Errorf("the secret: %d", status)
	}
}

// Unknown paths and methods are answered in JSON, with Allow and without a redirect.
func TestOwn404And405(t *testing.T) {
	o := newOffice(t)
	o.do("POST", "/console/clients", `{"client_id":"rt","audiences":["https://api.example.com"]}`, 201)
	o.events = nil
	for _, base := range []string{"/clients-of/us", "/console"} {
		for line, allow := range map[string]string{
			"GET /clients//rt":           "404",
			"GET /clients/rt/../rt":      "404",
			"GET /clients/./rt":          "404",
			"GET /clients/":              "404",
			"POST /clients/":             "404",
			"GET /clients/rt/":           "404",
			"GET /clients/rt/nope":       "404",
			"GET /clients/rt/secrets/s/": "404",
			"PATCH /clients/rt":          "DELETE, GET, HEAD, PUT",
			"POST /clients/rt":           "DELETE, GET, HEAD, PUT",
			"PUT /clients":               "GET, HEAD, POST",
			"OPTIONS /clients":           "GET, HEAD, POST",
			"BREW /clients/rt":           "DELETE, GET, HEAD, PUT",
			"BREW /clients":              "GET, HEAD, POST",
			"BREW /clients/rt/nope":      "404",
			"GET /clients/rt/revoke":     "POST",
			"GET /clients/rt/secrets":    "POST",
			"GET /clients/rt/secrets/s":  "DELETE",
			"PATCH /clients/revoke":      "DELETE, GET, HEAD, POST, PUT",
			"TRACE /clients/rt/secrets":  "POST",
		} {
			method, path, _ := strings.Cut(line, " ")
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, base+path, http.NoBody)
			if base == "/console" {
				o.plain.ServeHTTP(w, r)
			} else {
				o.app.ServeHTTP(w, r)
			}
			status, code := 404, "not_found"
			if allow != "404" {
				status, code = 405, "invalid_request"
			} else {
				allow = ""
			}
			var answer map[string]string
			err := json.Unmarshal(w.Body.Bytes(), &answer)
			if w.Code != status || err != nil || answer["error"] != code || w.Header().Get("Allow") != allow || w.Header().Get("Location") != "" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s%s: %d %v %s", base, line, w.Code, w.Header(), w.Body)
			}
		}
	}
	if len(o.events) > 0 {
		t.Errorf("%+v", o.events)
	}
	o.do("HEAD", "/console/clients/rt", "", 200)
}

// Every body needs a Content-Type, also of an action that takes no members; what
// follows the object is refused. A body that a limit cut is 413.
func TestBodies(t *testing.T) {
	o := newOffice(t)
	o.do("POST", "/console/clients", `{"client_id":"app","audiences":["https://api.example.com"]}`, 201)
	send := func(h http.Handler, method, path, contentType, body string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.ContentLength = -1
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, c := range []struct{ method, path string }{
		{"POST", "/console/clients"}, {"PUT", "/console/clients/app"}, {"POST", "/console/clients/app/secrets"}, {"POST", "/console/clients/app/revoke"},
		{"POST", "/console/clients/revoke"}, {"DELETE", "/console/clients/nobody"}, {"DELETE", "/console/clients/app/secrets/s"}, {"POST", "/console/clients/app/secrets/s/revoke"},
	} {
		for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json, text/plain"} {
			if got := send(o.plain, c.method, c.path, contentType, "{}"); got != 400 {
				t.Errorf("%s %s of %q: %d", c.method, c.path, contentType, got)
			}
		}
		for _, body := range []string{"{}}", "{}]", "{} {}", "[]", "null", "{\"a\":1}", "{\"\xff\":1}", "x"} {
			if got := send(o.plain, c.method, c.path, "application/json", body); got != 400 {
				t.Errorf("%s %s %q: %d", c.method, c.path, body, got)
			}
		}
		if got := send(o.plain, c.method, c.path, "application/json", strings.Repeat(" ", 70<<10)); got != 413 {
			t.Errorf("%s %s, too large: %d", c.method, c.path, got)
		}
	}
	e := echo.New()
	e.Use(echomiddleware.BodyLimit("1K"))
	e.Any("/console/*", echo.WrapHandler(o.plain))
	o.events = nil
	if got := send(e, "POST", "/console/clients", "application/json", `{"client_name":"`+strings.Repeat("x", 2000)+`"}`); got != 413 {
		t.Errorf("behind BodyLimit: %d", got)
	}
	if got := o.one(); got.Reason != event.RequestTooLarge {
		t.Errorf("%+v", got)
	}
}
