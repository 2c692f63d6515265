package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// countedKeys counts how often a key is asked for: once a verification.
func countedKeys(keys *jwks.Keyring, count *int) jwks.Source {
	return sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) {
		*count++
		return keys.Key(ctx, kid, "")
	})
}

func TestSecondRequireVerifiesOnce(t *testing.T) {
	keys := newKeyring(t, ecKey)
	verifications := 0
	a := newAPI(t, Config{Keys: countedKeys(keys, &verifications)})
	group := a.Group("/v1", a.auth.Require())
	group.GET("/read", a.serve, a.auth.Require("orders:read"), a.auth.RequireAny("orders:read", "x"))
	group.GET("/admin", a.serve, a.auth.Require("admin"))
	token := "Bearer " + goodToken(t, keys)
	if w := a.get("/v1/read", token); w.Code != http.StatusOK || verifications != 1 {
		t.Errorf("status %d after %d verifications", w.Code, verifications)
	}
	if w := a.get("/v1/admin", token); w.Code != http.StatusForbidden || verifications != 2 {
		t.Errorf("status %d after %d verifications in all", w.Code, verifications)
	}
	a.get("/v1/read", token)
	if verifications != 3 {
		t.Error("one request's verdict served another")
	}
}

// What was verified counts for the credential it was verified of, and no other.
func TestSecondRequireSeesAnotherCredential(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	token := goodToken(t, keys)
	for name, change := range map[string]func(http.Header){
		"removed":  func(h http.Header) { h.Del("Authorization") },
		"forged":   func(h http.Header) { h.Set("Authorization", "Bearer "+token[:len(token)-8]+"AAAAAAAA") },
		"a second": func(h http.Header) { h.Add("Authorization", "Bearer x") },
		"lesser": func(h http.Header) {
			h.Set("Authorization", "Bearer "+sign(t, keys, payload(map[string]string{"scope": ""})))
		},
		"no scheme": func(h http.Header) { h.Set("Authorization", token) },
	} {
		e := &api{Echo: echo.New()}
		e.GET("/", e.serve, a.auth.Require(), func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				change(c.Request().Header)
				return next(c)
			}
		}, a.auth.Require("orders:read"))
		if w := e.get("/", "Bearer "+token); w.Code == http.StatusOK || len(e.tokens) > 0 {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

// TRAPS: the same token through two verifiers with different audience or scope.
// (CVE-2026-35039, CVE-2026-33496)
func TestTwoVerifiers(t *testing.T) {
	keys := newKeyring(t, ecKey)
	verifications := 0
	first := newAPI(t, Config{Keys: countedKeys(keys, &verifications)}).auth
	same := newAPI(t, Config{Keys: countedKeys(keys, &verifications)}).auth
	other := newAPI(t, Config{Keys: countedKeys(keys, &verifications), Audience: "https://other.example"}).auth
	token := "Bearer " + goodToken(t, keys)
	both := "Bearer " + sign(t, keys, payload(map[string]string{"aud": `["` + testAudience + `","https://other.example"]`}))
	for _, tt := range []struct {
		name          string
		guards        []echo.MiddlewareFunc
		token         string
		status        int
		verifications int
	}{
		{"its own audience, then another's", []echo.MiddlewareFunc{first.Require(), other.Require()}, token, 401, 2},
		{"another's first", []echo.MiddlewareFunc{other.Require(), first.Require()}, token, 401, 1},
		{"both audiences", []echo.MiddlewareFunc{first.Require(), other.Require()}, both, 200, 2},
		{"equal, yet another Bearer", []echo.MiddlewareFunc{first.Require(), same.Require()}, token, 200, 2},
		{"there and back", []echo.MiddlewareFunc{first.Require(), other.Require(), first.Require()}, both, 200, 3},
		{"two scopes", []echo.MiddlewareFunc{first.Require("orders:read"), first.Require("admin")}, token, 403, 1},
	} {
		verifications = 0
		a := &api{Echo: echo.New()}
		a.GET("/", a.serve, tt.guards...)
		if w := a.get("/", tt.token); w.Code != tt.status || verifications != tt.verifications {
			t.Errorf("%s: status %d after %d verifications, want %d after %d", tt.name, w.Code, verifications, tt.status, tt.verifications)
		}
	}
}

// A handler can write to its Token. No check uses what it wrote, and no caller
// else sees it: neither another handler of the request, nor another request with
// the same token.
func TestTokenWrittenToChangesNoCheck(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	token := goodToken(t, keys)
	for name, write := range map[string]func(*Token){
		"append":   func(tok *Token) { tok.Scopes = append(tok.Scopes, "admin") },
		"in place": func(tok *Token) { tok.Scopes[0], tok.Audience[0] = "admin", "x" },
		"fields":   func(tok *Token) { tok.ClientID, tok.ExpiresAt = "x", time.Time{} },
		"copy":     func(tok *Token) { *tok = Token{Scopes: []string{"admin"}} },
	} {
		writer := func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				write(TokenFrom(c))
				return next(c)
			}
		}
		e := &api{Echo: echo.New()}
		e.GET("/", e.serve, a.auth.Require(), writer, a.auth.Require("admin"))
		e.GET("/seen", e.serve, a.auth.Require(), writer)
		for range 2 {
			if w := e.get("/", "Bearer "+token); w.Code != http.StatusForbidden {
				t.Errorf("%s: status %d", name, w.Code)
			}
			e.get("/seen", "Bearer "+token)
			seen := e.tokens[len(e.tokens)-1]
			if seen.ClientID != "app1" || seen.ExpiresAt.IsZero() || fmt.Sprint(seen.Scopes, seen.Audience) != "[orders:read orders:write] ["+testAudience+"]" {
				t.Errorf("%s: another handler sees %v", name, seen)
			}
		}
	}
}

func TestContextKey(t *testing.T) {
	keys := newKeyring(t, ecKey)
	for _, key := range []string{"", "caller"} {
		a := newAPI(t, Config{Keys: keys})
		auth := a.auth.Echo(EchoOptions{ContextKey: key})
		a.GET("/key", func(c echo.Context) error {
			if tok, _ := c.Get(key).(*Token); TokenFrom(c) == nil || (key != "" && (tok == nil || tok.ID != TokenFrom(c).ID)) {
				t.Errorf("ContextKey %q: c.Get gives %v, TokenFrom %v", key, c.Get(key), TokenFrom(c))
			}
			if c.Get("") != nil {
				t.Errorf("ContextKey %q: the context has something under the empty name", key)
			}
			if second := c.Get("second"); key != "" && second != c.Get(key) {
				t.Error("another Require made another token")
			}
			c.Set(key, "the app's own")
			if TokenFrom(c) == nil {
				t.Error("TokenFrom depends on the ContextKey")
			}
			return nil
		}, auth.Require(), func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				c.Set("second", c.Get(key))
				return next(c)
			}
		}, auth.Require("orders:read"))
		if w := a.get("/key", "Bearer "+goodToken(t, keys)); w.Code != http.StatusOK {
			t.Errorf("ContextKey %q: status %d", key, w.Code)
		}
	}
}

func TestSkipper(t *testing.T) {
	keys := newKeyring(t, ecKey)
	var skipper echomw.Skipper = func(c echo.Context) bool { return c.Path() == "/open" }
	a := newAPI(t, Config{Keys: keys})
	auth := a.auth.Echo(EchoOptions{Skipper: skipper})
	a.GET("/open", a.serve, auth.Require("admin"))
	a.GET("/closed", a.serve, auth.Require())
	if w := a.get("/open", "Bearer "+goodToken(t, keys)); w.Code != http.StatusOK || a.tokens[0] != nil {
		t.Errorf("skipped: status %d, token %v", w.Code, a.tokens)
	}
	for _, path := range []string{"/closed", "/closed?/open", "/closed?x=/open"} {
		if w := a.get(path); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestErrorHandler(t *testing.T) {
	keys := newKeyring(t, ecKey)
	for name, tt := range map[string]struct {
		result error
		status int
	}{
		"nil":     {nil, 0}, // it has answered nothing: the refusal is returned
		"another": {echo.NewHTTPError(http.StatusTeapot, "no"), http.StatusTeapot},
	} {
		t.Run(name, func(t *testing.T) {
			var given error
			a := newAPI(t, Config{Keys: keys})
			a.GET("/admin", a.serve, a.auth.Echo(EchoOptions{ErrorHandler: func(_ echo.Context, err error) error {
				given = err
				return tt.result
			}}).Require("admin"))
			for authorization, status := range map[string]int{"": 401, "Bearer a.b.c": 401, "Bearer": 400, "Bearer " + goodToken(t, keys): 403} {
				w := a.get("/admin", authorization)
				if len(a.tokens) > 0 {
					t.Fatal("the handler was called")
				}
				if w.Code != cmp.Or(tt.status, status) || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("status %d, headers %v", w.Code, w.Header())
				}
				var e *Error
				var he *echo.HTTPError
				if !errors.As(given, &e) || !errors.As(given, &he) || e.Status != status || he.Code != status {
					t.Errorf("the error handler got %v, want %d", given, status)
				}
			}
		})
	}
}

// Nothing of a token or of why it was refused reaches an answer, not even in
// Echo's debug mode; nothing of a token reaches an event.
func TestNothingLeaks(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys, Realm: "api"}, "admin")
	a.Debug = true
	good := goodToken(t, keys)
	bound := sign(t, keys, payload(map[string]string{"cnf": `{}`}))
	foreign := sign(t, keys, payload(map[string]string{"aud": `"https://secret.example"`}))
	for _, token := range []string{good, good[:len(good)-8] + "AAAAAAAA", bound, foreign, good + "=", good + "." + good, "hunter2.hunter2.hunter2"} {
		w := a.get("/", "Bearer "+token)
		answer := fmt.Sprintf("%d %v %s", w.Code, w.Header(), w.Body)
		event := a.events[len(a.events)-1]
		told := fmt.Sprintf("%v %+v %#v %s", event, event, event, a.cause())
		for part := range strings.SplitSeq(token, ".") {
			if part != "" && (strings.Contains(answer, part) || strings.Contains(told, part)) {
				t.Errorf("a part of the token is in\n%s\n%s", answer, told)
			}
		}
		for _, private := range []string{a.cause(), "cnf", "secret", "signature", "jwks"} {
			if strings.Contains(answer, private) {
				t.Errorf("%q is in %s", private, answer)
			}
		}
	}
	tok := newAPI(t, Config{Keys: keys}).wantServed(t, good)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		shown := fmt.Sprintf(format, tok) + fmt.Sprintf(format, *tok)
		for part := range strings.SplitSeq(good, ".") {
			if strings.Contains(shown, part) {
				t.Errorf("%s of a Token prints a part of the token", format)
			}
		}
	}
}
