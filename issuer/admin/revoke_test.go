package admin_test

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// What the API revokes is refused when it has answered: the tokens of a secret, a
// client or all, and what is granted then is good.
func TestAdminRevokes(t *testing.T) {
	const base = "/clients-of/us/clients"
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		op                 event.Op
		target             string
		second, other      bool // the tokens of the client's second secret, and of another client, are revoked
		after              int  // what the first secret is answered afterwards
	}{
		"secret":                     {"POST", "/app/secrets/SECRET/revoke", "", 200, event.OpRevokeClient, "app", false, false, 200},
		"client":                     {"POST", "/app/revoke", "", 200, event.OpRevokeClient, "app", true, false, 200},
		"all":                        {"POST", "/revoke", "", 200, event.OpRevokeClient, "*", true, true, 200},
		"rotated":                    {"POST", "/app/secrets", `{"revoke":true}`, 201, event.OpRotateSecret, "app", true, false, 401},
		"rotated, overlap 0":         {"POST", "/app/secrets", `{"revoke":true,"overlap":0}`, 201, event.OpRotateSecret, "app", true, false, 401},
		"removed":                    {"DELETE", "/app/secrets/SECRET?revoke=true", "", 200, event.OpRemoveSecret, "app", false, false, 401},
		"disabled, and enabled":      {"PUT", "/app", `{"audiences":["https://api.example.com"],"version":1,"disabled":true}`, 200, event.OpUpdate, "app", true, false, 401},
		"deleted, and there already": {"DELETE", "/app", "", 200, event.OpDelete, "app", true, false, 401},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			text := func(answer map[string]any, member string) string { s, _ := answer[member].(string); return s }
			record := `{"client_id":"app","audiences":["https://api.example.com"]}`
			first := text(o.do("POST", base, record, 201), "client_secret")
			second := text(o.do("POST", base+"/app/secrets", "", 201), "client_secret")
			others := text(o.do("POST", base, strings.Replace(record, "app", "other", 1), 201), "client_secret")
			token := func(id, secret string) string {
				t.Helper()
				token, status := o.token(id, secret)
				if status != 200 || o.revoked(token) {
					t.Fatalf("%s gets %d", id, status)
				}
				return token
			}
			tokens := []string{token("app", first), token("app", second), token("other", others)}
			secretID, _ := registry.SecretID(first)
			o.events = nil
			o.do(tt.method, base+strings.Replace(tt.path, "SECRET", secretID, 1), tt.body, tt.status)
			if e := o.one(); e.Op != tt.op || e.Target != tt.target || e.Status != tt.status || e.ClientID != "alice" || e.Err != nil {
				t.Errorf("event %+v", e)
			}
			check := func() {
				t.Helper()
				for n, want := range []bool{true, tt.second, tt.other} {
					if got := o.revoked(tokens[n]); got != want {
						t.Errorf("token %d: revoked %v, want %v", n, got, want)
					}
				}
			}
			check()
			if _, status := o.token("app", first); status != tt.after {
				t.Errorf("the first secret is answered %d, want %d", status, tt.after)
			}
			token("other", others)

			// Nothing makes the old tokens valid again.
			if tt.op == event.OpUpdate {
				o.do("PUT", base+"/app", `{"audiences":["https://api.example.com"],"version":2}`, 200)
				token("app", first)
			}
			if tt.op == event.OpDelete {
				token("app", text(o.do("POST", base, record, 201), "client_secret"))
			}
			check()
		})
	}
}

// What the caller may have mistyped is not answered as a revocation.
func TestAdminRevokesNot(t *testing.T) {
	o := newOffice(t)
	const base = "/clients-of/us/clients"
	secret, _ := o.do("POST", base, `{"client_id":"app","audiences":["https://api.example.com"]}`, 201)["client_secret"].(string)
	id, _ := registry.SecretID(secret)
	token, _ := o.token("app", secret)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/nobody/revoke", "", 404},
		{"POST", "/app/secrets/nope/revoke", "", 404},
		{"POST", "/nobody/secrets/" + id + "/revoke", "", 404},
		{"DELETE", "/app/secrets/" + id + "?revoke=yes", "", 400},
		{"POST", "/app/secrets", `{"revoke":true,"overlap":60}`, 400},
		{"POST", "/app/secrets", `{"revoke":"yes"}`, 400},
		{"POST", "/app/secrets", `{"label":"` + strings.Repeat("x", 1025) + `"}`, 400},
		{"POST", "", `{"client_name":"` + strings.Repeat("x", 1025) + `"}`, 400},
		{"POST", "", `{"audiences":["` + strings.Repeat("x", 1025) + `"]}`, 400},
	} {
		o.do(c.method, base+c.path, c.body, c.status)
	}
	if o.revoked(token) {
		t.Error("revoked")
	}
}

// A page of another origin cannot use a credential that browsers send by
// themselves. A bearer token is not such a credential.
func TestAdminOrigin(t *testing.T) {
	o := newOffice(t)
	const base = "/clients-of/us/clients"
	o.do("POST", base, `{"client_id":"app","audiences":["https://api.example.com"]}`, 201)
	for name, tt := range map[string]struct {
		header map[string]string
		want   int
	}{
		"another site":             {map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"another origin":           {map[string]string{"Origin": "https://evil.example"}, 403},
		"another site, Basic":      {map[string]string{"Sec-Fetch-Site": "cross-site", "Authorization": "Basic eDp5"}, 403},
		"another site, with token": {map[string]string{"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer x"}, 200},
		"the same origin":          {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://example.com"}, 200},
		"no browser":               {nil, 200},
	} {
		for _, path := range []string{"/app/revoke", "/revoke"} {
			r := httptest.NewRequest("POST", base+path, http.NoBody)
			for key, value := range tt.header {
				r.Header.Set(key, value)
			}
			w := httptest.NewRecorder()
			o.app.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s: POST %s is answered %d, want %d", name, path, w.Code, tt.want)
			}
		}
	}
}

// A list reads no body, of whatever type.
func TestAdminListReadsNoBody(t *testing.T) {
	o := newOffice(t)
	t.Setenv("TMPDIR", t.TempDir())
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("search", "x")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(make([]byte, 1<<20))
	_ = form.Close()
	size := body.Len()
	r := httptest.NewRequest("GET", "/clients-of/us/clients?search=x", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	w := httptest.NewRecorder()
	o.app.ServeHTTP(w, r)
	if w.Code != 200 || body.Len() != size {
		t.Errorf("%d, and %d of %d bytes were read", w.Code, size-body.Len(), size)
	}
}

// hung is a manager that never answers.
type hung struct{ *registry.Memory }

func (hung) wait(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }

func (h hung) Client(ctx context.Context, _ string) (*registry.Client, error) {
	return nil, h.wait(ctx)
}

func (h hung) Changes(ctx context.Context, _ int64) (registry.Page, error) {
	return registry.Page{}, h.wait(ctx)
}

func (h hung) Revoke(ctx context.Context, _ registry.Change) (int64, error) { return 0, h.wait(ctx) }

func (h hung) Delete(ctx context.Context, _ string) error { return h.wait(ctx) }

func (h hung) List(ctx context.Context, _ registry.Query) ([]registry.Client, error) {
	return nil, h.wait(ctx)
}

func (h hung) Register(ctx context.Context, _ registry.Client) (registry.Client, error) {
	return registry.Client{}, h.wait(ctx)
}

func (h hung) Update(ctx context.Context, _ registry.Client) (registry.Client, error) {
	return registry.Client{}, h.wait(ctx)
}

func (h hung) RotateSecret(ctx context.Context, _ string, _ registry.Rotation) (string, error) {
	return "", h.wait(ctx)
}

func (h hung) RemoveSecret(ctx context.Context, _, _ string, _ bool) error { return h.wait(ctx) }

// mute is a manager whose feed alone never answers, and that is slow to delete.
type mute struct{ *registry.Memory }

func (m mute) Delete(ctx context.Context, id string) error {
	time.Sleep(2 * time.Second)
	return m.Memory.Delete(ctx, id)
}

func (m mute) Changes(ctx context.Context, _ int64) (registry.Page, error) {
	<-ctx.Done()
	return registry.Page{}, context.Cause(ctx)
}

// Every action is answered within 3 s, 503 where the store does not answer.
func TestAdminTimeout(t *testing.T) {
	for name, status := range map[string]int{"hung": 503, "mute": 200} {
		for _, call := range [][3]string{
			{"GET", "/clients", ""},
			{"GET", "/clients/app", ""},
			{"POST", "/clients", `{"client_id":"new","audiences":["https://api.example.com"]}`},
			{"PUT", "/clients/app", `{"version":1,"audiences":["https://api.example.com"]}`},
			{"POST", "/clients/app/secrets", ""},
			{"DELETE", "/clients/app/secrets/x", ""},
			{"POST", "/clients/app/revoke", ""},
			{"POST", "/clients/revoke", ""},
			{"DELETE", "/clients/app", ""},
		} {
			synctest.Test(t, func(t *testing.T) {
				_, secret := registry.GenerateSecret()
				secret.ID = "x"
				memory, err := registry.NewMemory(registry.Client{ID: "app", Secrets: []registry.Secret{secret}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := memory.Update(t.Context(), registry.Client{ID: "app", Version: 1}); err != nil {
					t.Fatal(err)
				}
				var manager registry.Manager = mute{memory}
				if name == "hung" {
					manager = hung{memory}
				}
				var reported error
				api := newAPI(t, manager, func(e admin.Event) { reported = e.Err })
				r := httptest.NewRequest(call[0], call[1], strings.NewReader(strings.Replace(call[2], `"version":1`, `"version":2`, 1)))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				began := time.Now()
				api.ServeHTTP(w, r)
				if took := time.Since(began); took > 3*time.Second || w.Code != status && (status == 503 || w.Code/100 != 2) {
					t.Errorf("%s: %s %s: %d after %v: %s", name, call[0], call[1], w.Code, took, w.Body)
				}
				if status == 503 && (reported == nil || w.Header().Get("Retry-After") != "1") {
					t.Errorf("%s %s: reported %v, headers %v", call[0], call[1], reported, w.Header())
				}
			})
		}
	}
}
