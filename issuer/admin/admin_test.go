package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/jwks/event"
)

func TestAdmin(t *testing.T) {
	for name, base := range map[string]string{"Echo": "/clients-of/us/clients", "Echo, escaped": "/clients-of/u%2Fs/clients", "net/http": "/console/clients"} {
		t.Run(name, func(t *testing.T) { testAdmin(t, base) })
	}
}

func testAdmin(t *testing.T, base string) {
	o := newOffice(t)
	made := o.do("POST", base, `{"client_id":"a/b c?%","client_name":"Nightly job","scope":"orders:read orders:write","audiences":["https://api.example.com"],"token_ttl":300,"metadata":{"tenant":"acme"}}`, 201)
	secret, _ := made["client_secret"].(string)
	if made["client_id"] != "a/b c?%" || made["scope"] != "orders:read orders:write" || made["token_ttl"] != 300.0 ||
		made["client_secret_expires_at"] != 0.0 || made["client_id_issued_at"] == nil || made["version"] != 1.0 || secret == "" {
		t.Fatalf("%v", made)
	}
	one := base + "/" + url.PathEscape("a/b c?%")
	token, status := o.token("a/b c?%", secret)
	if status != 200 {
		t.Fatal(status)
	}
	if got := o.do("GET", one, "", 200); got["client_name"] != "Nightly job" || got["client_secret"] != nil || fmt.Sprint(got["metadata"]) != "map[tenant:acme]" {
		t.Errorf("%v", got)
	}
	o.do("POST", base, `{"client_id":"a/b c?%","audiences":["https://x"]}`, 409)

	// Without an id one is made up.
	anonymous := o.do("POST", base, `{"audiences":["https://api.example.com"],"grant_types":["client_credentials"]}`, 201)
	if id, _ := anonymous["client_id"].(string); len(id) < 16 {
		t.Errorf("made-up id %q", id)
	}
	listed, _ := o.do("GET", base+"?search=NIGHTLY&limit=10", "", 200)["clients"].([]any)
	if len(listed) != 1 {
		t.Errorf("found %v", listed)
	}
	if all, _ := o.do("GET", base, "", 200)["clients"].([]any); len(all) != 2 {
		t.Errorf("listed %v", all)
	}

	// A change takes the version it was made to, once.
	change := `{"client_name":"Nightly","scope":"orders:read","audiences":["https://api.example.com"],"version":1}`
	if got := o.do("PUT", one, change, 200); got["version"] != 2.0 || got["scope"] != "orders:read" {
		t.Errorf("%v", got)
	}
	o.do("PUT", one, change, 409)
	if _, status := o.token("a/b c?%", secret); status != 200 {
		t.Errorf("a change of the record lost the secret: %d", status)
	}

	// A second secret; the first goes on until it is removed.
	rotated := o.do("POST", one+"/secrets", `{"label":"spring","overlap":3600}`, 201)
	fresh, _ := rotated["client_secret"].(string)
	for _, s := range []string{secret, fresh} {
		if _, status := o.token("a/b c?%", s); status != 200 {
			t.Errorf("during the overlap: %d", status)
		}
	}
	o.do("DELETE", one+"/secrets/"+strings.Split(secret, "_")[1], "", 200)
	if _, status := o.token("a/b c?%", secret); status != 401 {
		t.Errorf("a removed secret: %d", status)
	}
	o.do("DELETE", one+"/secrets/nope", "", 404)

	// Tokens stop when they are revoked, the client disabled or deleted.
	o.do("POST", one+"/revoke", "", 200)
	if !o.revoked(token) {
		t.Error("the client's token is not revoked")
	}
	o.do("PUT", one, `{"audiences":["https://api.example.com"],"version":2,"disabled":true}`, 200)
	if _, status := o.token("a/b c?%", fresh); status != 401 {
		t.Errorf("disabled: %d", status)
	}
	o.do("DELETE", one, "", 200)
	for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/revoke"}, {"POST", "/secrets"}} {
		o.do(call[0], one+call[1], "", 404)
	}
}

func TestAdminRefuses(t *testing.T) {
	o := newOffice(t)
	const base = "/clients-of/us/clients"
	o.do("POST", base, `{"client_id":"app","audiences":["https://api.example.com"]}`, 201)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"not JSON":             {"POST", base, `client_id=x`, 400, "invalid_request"},
		"an array":             {"POST", base, `[]`, 400, "invalid_request"},
		"two objects":          {"POST", base, `{} {}`, 400, "invalid_request"},
		"unknown member":       {"POST", base, `{"scopes":["a"]}`, 400, "invalid_request"},
		"its own secret":       {"POST", base, `{"client_id":"x","secrets":[{"secret_id":"s","hash":"x"}]}`, 400, "invalid_request"},
		"scope of two spaces":  {"POST", base, `{"client_id":"x","scope":"a  b"}`, 400, "invalid_client_metadata"},
		"another grant":        {"POST", base, `{"client_id":"x","grant_types":["password"]}`, 400, "invalid_client_metadata"},
		"unknown method":       {"POST", base, `{"client_id":"x","token_endpoint_auth_method":"none"}`, 400, "invalid_client_metadata"},
		"default not allowed":  {"POST", base, `{"client_id":"x","default_audience":"https://y"}`, 400, "invalid_client_metadata"},
		"id with a line break": {"POST", base, `{"client_id":"x\ny"}`, 400, "invalid_client_metadata"},
		"negative lifetime":    {"POST", base, `{"client_id":"x","token_ttl":-1}`, 400, "invalid_client_metadata"},
		"no version":           {"PUT", base + "/app", `{"audiences":[]}`, 400, "invalid_client_metadata"},
		"member twice":         {"POST", base, `{"client_id":"x","client_id":"y"}`, 400, "invalid_request"},
		"member in capitals":   {"POST", base, `{"Client_ID":"x"}`, 400, "invalid_request"},
		"member folded":        {"POST", base, `{"client_ſecret":"x"}`, 400, "invalid_request"},
		"not UTF-8":            {"POST", base, "{\"client_name\":\"\xff\"}", 400, "invalid_request"},
		"another id":           {"PUT", base + "/app", `{"client_id":"other","version":1}`, 400, "invalid_client_metadata"},
		"nobody":               {"PUT", base + "/nobody", `{"version":1}`, 404, "not_found"},
		"limit":                {"GET", base + "?limit=0", "", 400, "invalid_request"},
		"limit of words":       {"GET", base + "?limit=many", "", 400, "invalid_request"},
		"overlap":              {"POST", base + "/app/secrets", `{"overlap":-1}`, 400, "invalid_request"},
	} {
		o.events = nil
		if got := o.do(c.method, c.path, c.body, c.status); got["error"] != c.code {
			t.Errorf("%s: %v, want %s", name, got, c.code)
		}
		if e := o.one(); e.Status != c.status || e.Code != c.code || e.Err == nil || e.ClientID != "alice" || e.Duration <= 0 || !slices.Contains(event.Reasons(), e.Reason) {
			t.Errorf("%s: event %+v", name, e)
		}
	}
	o.do("GET", base+"/app/else", "", 404)
	o.do("PATCH", base+"/app", "", 405)
	big := `{"client_name":"` + strings.Repeat("x", 70<<10) + `"}`
	if got := o.do("POST", base, big, 413); got["error"] != "invalid_request" {
		t.Errorf("too large: %v", got)
	}
}

// What an operator did is one event: who, what, to which client.
func TestAdminEvents(t *testing.T) {
	o := newOffice(t)
	const base = "/clients-of/us/clients"
	secret, _ := o.do("POST", base, `{"client_id":"app","audiences":["https://api.example.com"]}`, 201)["client_secret"].(string)
	registered := o.one()
	if registered.SecretID != strings.Split(secret, "_")[1] {
		t.Errorf("%+v", registered)
	}
	want := func(e admin.Event, op event.Op, target string, status int, reason event.Reason) {
		t.Helper()
		if e.Op != op || e.Target != target || e.Status != status || e.Reason != reason || e.ClientID != "alice" || e.Claimed || e.Duration <= 0 || (e.Err != nil) != (reason != "") {
			t.Errorf("%+v, want %s of %s, %d %s", e, op, target, status, reason)
		}
	}
	want(registered, event.OpRegister, "app", 201, "")
	for _, step := range []struct {
		method, path, body string
		op                 event.Op
		target             string
		status             int
		reason             event.Reason
	}{
		{"GET", "", "", event.OpRead, "*", 200, ""},
		{"GET", "?limit=0", "", event.OpRead, "*", 400, event.MalformedRequest},
		{"GET", "/app", "", event.OpRead, "app", 200, ""},
		{"GET", "/nobody", "", event.OpRead, "nobody", 404, event.NotFound},
		{"POST", "", `{"client_id":"app"}`, event.OpRegister, "app", 409, event.Conflict},
		{"POST", "", `{"client_id":"x","scope":" "}`, event.OpRegister, "", 400, event.InvalidClient},
		{"POST", "", strings.Repeat(" ", 70<<10), event.OpRegister, "", 413, event.RequestTooLarge},
		{"PUT", "/app", `{"version":1}`, event.OpUpdate, "app", 200, ""},
		{"PUT", "/app", `{"version":1}`, event.OpUpdate, "app", 409, event.Conflict},
		{"POST", "/app/secrets", `{}`, event.OpRotateSecret, "app", 201, ""},
		{"DELETE", "/app/secrets/" + registered.SecretID, "", event.OpRemoveSecret, "app", 200, ""},
		{"DELETE", "/app/secrets/" + registered.SecretID, "", event.OpRemoveSecret, "app", 404, event.NotFound},
		{"GET", "/" + secret, "", event.OpRead, "", 404, event.NotFound},
		{"GET", "/a%0Ab", "", event.OpRead, "", 404, event.NotFound},
		{"DELETE", "/app/secrets/" + secret, "", event.OpRemoveSecret, "app", 404, event.NotFound},
		{"POST", "/app/revoke", "", event.OpRevokeClient, "app", 200, ""},
		{"DELETE", "/app", "", event.OpDelete, "app", 200, ""},
	} {
		o.do(step.method, base+step.path, step.body, step.status)
		e := o.one()
		want(e, step.op, step.target, step.status, step.reason)
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, secret) {
			t.Errorf("an event holds the secret: %s", text)
		}
	}
}

// What lists clients is in the URL. A body is not read: of a multipart form, files
// would be left behind in the temporary directory.
func TestListReadsNoBody(t *testing.T) {
	o := newOffice(t)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := errors.Join(w.WriteField("limit", "0"), w.Close()); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/console/clients", &form)
	r.Header.Set("Content-Type", w.FormDataContentType())
	answer, size := httptest.NewRecorder(), form.Len()
	if o.plain.ServeHTTP(answer, r); answer.Code != 200 || form.Len() != size {
		t.Errorf("%d %s, %d bytes read", answer.Code, answer.Body, size-form.Len())
	}
}

// TRAPS: A proxy's `//`, `..` in an admin path redirected out of the group. Escaped,
// slashes are a part of an id. An id is not dots alone.
func TestUncleanPaths(t *testing.T) {
	o := newOffice(t)
	for _, base := range []string{"/clients-of/us", "/console"} {
		for _, path := range []string{"/clients//app", "/clients/../app", "/clients/./app", "/clients/app/..", "/clients/app//secrets", "/clients/"} {
			for _, method := range []string{"GET", "DELETE", "POST"} {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(method, base+path, http.NoBody)
				if base == "/console" {
					o.plain.ServeHTTP(w, r)
				} else {
					o.app.ServeHTTP(w, r)
				}
				if w.Code != http.StatusNotFound || w.Header().Get("Location") != "" || len(o.events) > 0 {
					t.Errorf("%s %s: %d to %q, %+v", method, base+path, w.Code, w.Header().Get("Location"), o.events)
				}
			}
		}
		for path, id := range map[string]string{"/%2e%2e": "", "/%2E": "", "/a%2F%2Fb": "a//b", "/a%2F..%2Fb": "a/../b", "/a%25b": "a%b"} {
			o.do("GET", base+"/clients"+path, "", 404)
			if e := o.one(); e.Target != id {
				t.Errorf("%s is %+v, want %q", path, e, id)
			}
		}
	}
}

// An API that was not made by New answers 500 and does not panic; New says what
// is missing.
func TestZero(t *testing.T) {
	for _, api := range []*admin.API{nil, {}} {
		e := echo.New()
		api.Mount(e.Group("/admin"), func(echo.Context) string { return "alice" })
		for _, handler := range []http.Handler{api, e} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("GET", "/admin/clients", http.NoBody))
			if w.Code != 500 || !strings.HasPrefix(w.Body.String(), `{"error":"server_error"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	}
	if _, err := admin.New(admin.Config{}); err == nil || !strings.Contains(err.Error(), "Config.Issuer") {
		t.Error(err)
	}
	if _, err := admin.New(admin.Config{Issuer: &issuer.Issuer{}}); err == nil || !strings.Contains(err.Error(), "Config.Manager") {
		t.Error(err)
	}
}
