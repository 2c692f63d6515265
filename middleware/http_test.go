package middleware

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// The net/http face answers by itself: status, challenge and a small JSON body.
func TestHandler(t *testing.T) {
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	served := 0
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served++
		if tok := TokenFromContext(r.Context()); tok == nil || tok.ClientID != "app1" || !tok.HasScope("orders:read") {
			t.Errorf("token %v", tok)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	good := "Bearer " + goodToken(t, keys)
	const refused = "the access token does not permit this request"
	for name, tt := range map[string]struct {
		h             http.Handler
		authorization string
		status        int
		challenge     string
		code, text    string
	}{
		"any token":   {auth.Handler(next), good, 204, "", "", ""},
		"scope":       {auth.Handler(next, "orders:read"), good, 204, "", "", ""},
		"any scope":   {auth.HandlerAny(next, "admin", "orders:read"), good, 204, "", "", ""},
		"check":       {auth.HandlerFunc(next, func(*http.Request, *Token) error { return nil }), good, 204, "", "", ""},
		"no token":    {auth.Handler(next), "", 401, `Bearer realm="api"`, "", "an access token is required"},
		"bad token":   {auth.Handler(next), "Bearer x", 401, `Bearer error="invalid_token", error_description="the access token is not valid"`, "invalid_token", "the access token is not valid"},
		"no scope":    {auth.Handler(next, "orders:read", "admin"), good, 403, `Bearer error="insufficient_scope", error_description="` + refused + `", scope="orders:read admin"`, "insufficient_scope", refused},
		"none of any": {auth.HandlerAny(next, "admin", "x"), good, 403, `Bearer error="insufficient_scope", error_description="` + refused + `", scope="admin x"`, "insufficient_scope", refused},
		"check fails": {auth.HandlerFunc(next, func(*http.Request, *Token) error { return errors.New("private") }), good, 403, `Bearer error="insufficient_scope", error_description="` + refused + `"`, "insufficient_scope", refused},
		"own answer":  {auth.HandlerFunc(next, func(*http.Request, *Token) error { return &Error{Status: 429, Code: "slow_down", RetryAfter: 7} }), good, 429, "", "slow_down", ""},
		"nil check":   {auth.HandlerFunc(next, nil), good, 500, "", "server_error", "access to this route is not configured"},
		"nil handler": {auth.Handler(nil), good, 500, "", "server_error", "access to this route is not configured"},
	} {
		t.Run(name, func(t *testing.T) {
			served = 0
			var authorization []string
			if tt.authorization != "" {
				authorization = append(authorization, tt.authorization)
			}
			w := ask(tt.h, http.MethodGet, "/", authorization...)
			if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.challenge || (served == 1) != (tt.status == 204) {
				t.Errorf("status %d, challenge %q, served %d times", w.Code, w.Header().Get("WWW-Authenticate"), served)
			}
			if tt.status == 204 {
				return
			}
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["error"] != tt.code || body["error_description"] != tt.text {
				t.Errorf("body %s, %v", w.Body, err)
			}
			if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || strings.Contains(w.Body.String(), "private") {
				t.Errorf("headers %v, body %s", h, w.Body)
			}
			if retry := w.Header().Get("Retry-After"); (retry == "7") != (tt.status == 429) {
				t.Errorf("Retry-After %q", retry)
			}
		})
	}
}

// A Handler in a Handler verifies nothing again, and sees what has changed.
func TestHandlerInHandler(t *testing.T) {
	keys := newKeyring(t, ecKey)
	verifications := 0
	auth := newAPI(t, Config{Keys: countedKeys(keys, &verifications)}).auth
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	token := "Bearer " + goodToken(t, keys)
	if w := ask(auth.Handler(auth.Handler(auth.HandlerAny(next, "orders:write"), "orders:read")), http.MethodGet, "/", token); w.Code != http.StatusNoContent || verifications != 1 {
		t.Errorf("status %d after %d verifications", w.Code, verifications)
	}
	lesser := "Bearer " + sign(t, keys, payload(map[string]string{"scope": ""}))
	swap := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", lesser)
		auth.Handler(next, "orders:read").ServeHTTP(w, r)
	})
	if w := ask(auth.Handler(swap), http.MethodGet, "/", token); w.Code != http.StatusForbidden {
		t.Errorf("status %d for a token that was not the first", w.Code)
	}
	other := newAPI(t, Config{Keys: keys, Audience: "https://other.example"}).auth
	if w := ask(auth.Handler(other.Handler(next)), http.MethodGet, "/", token); w.Code != http.StatusUnauthorized {
		t.Errorf("status %d for another audience", w.Code)
	}
}

// An Echo app can use the net/http face, and Echo's handlers find the token.
func TestHandlerByWrapMiddleware(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	wrapped := echo.WrapMiddleware(func(next http.Handler) http.Handler { return a.auth.Handler(next, "orders:read") })
	a.GET("/wrapped", a.serve, wrapped)
	a.GET("/both", a.serve, wrapped, a.auth.Require("orders:write"))
	for _, path := range []string{"/wrapped", "/both"} {
		a.tokens = nil
		if w := a.get(path, "Bearer "+goodToken(t, keys)); w.Code != http.StatusOK || len(a.tokens) != 1 || a.tokens[0] == nil || a.tokens[0].ClientID != "app1" {
			t.Errorf("%s: status %d, tokens %v", path, w.Code, a.tokens)
		}
		if w := a.get(path); w.Code != http.StatusUnauthorized || len(a.tokens) != 1 {
			t.Errorf("%s: status %d without a token", path, w.Code)
		}
	}
}

// The server deletes the files of a multipart form, though the handler was given
// another *http.Request than the server made.
func TestFilesOfAFormAreDeleted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	server := httptest.NewServer(auth.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "multipart-*")); len(files) != 1 {
			t.Errorf("files %v: this test is about something else", files)
		}
	})))
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "name")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(make([]byte, 11<<20)) // parts up to 10 MB stay in memory
	form.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+goodToken(t, keys))
	r.Header.Set("Content-Type", form.FormDataContentType())
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	server.Close()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
