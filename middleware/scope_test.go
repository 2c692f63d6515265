package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func TestRequireScopes(t *testing.T) {
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	const (
		never = `Bearer error="insufficient_scope", error_description="the access token does not permit this request"`
		needs = never + `, scope="%s"`
	)
	for _, tt := range []struct {
		name      string
		guard     echo.MiddlewareFunc
		granted   string
		challenge string // "" lets in
	}{
		{"any token", auth.Require(), "", ""},
		{"one", auth.Require("a"), "a", ""},
		{"one of many", auth.Require("b"), "a b c", ""},
		{"all", auth.Require("a", "c"), "c b a", ""},
		{"all but one", auth.Require("a", "d"), "a b c", fmt.Sprintf(needs, "a d")},
		{"none granted", auth.Require("a"), "", fmt.Sprintf(needs, "a")},
		{"prefix of a granted one", auth.Require("orders"), "orders:read", fmt.Sprintf(needs, "orders")},
		{"longer than a granted one", auth.Require("orders:read"), "orders", fmt.Sprintf(needs, "orders:read")},
		{"other case", auth.Require("a"), "A", fmt.Sprintf(needs, "a")},
		{"split by a tab", auth.Require("admin"), `a\tadmin`, fmt.Sprintf(needs, "admin")},
		{"split by a newline", auth.Require("admin"), `admin\na`, fmt.Sprintf(needs, "admin")},
		{"split by a no-break space", auth.Require("admin"), `a\u00a0admin`, fmt.Sprintf(needs, "admin")},
		{"split by a comma", auth.Require("admin"), "a,admin", fmt.Sprintf(needs, "admin")},
		{"empty scope", auth.Require(""), "a", never},
		{"empty scope, double space granted", auth.Require(""), "a  b", never},
		{"empty beside a granted one", auth.Require("a", ""), "a", never},
		{"two in one string", auth.Require("a b"), "a b", never},
		{"a scope with a quote", auth.Require(`a"`), `a\"`, never},
		{"any of two", auth.RequireAny("a", "b"), "b c", ""},
		{"any of none granted", auth.RequireAny("a", "b"), "c", fmt.Sprintf(needs, "a b")},
		{"any of nothing", auth.RequireAny(), "a", never},
		{"any of an empty one", auth.RequireAny(""), "a  b", never},
		{"any of one that cannot exist", auth.RequireAny("a", "a b"), "a", never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &api{Echo: echo.New()}
			a.GET("/", a.serve, tt.guard)
			w := a.get("/", "Bearer "+sign(t, keys, payload(map[string]string{"scope": `"` + tt.granted + `"`})))
			if got := w.Header().Get("WWW-Authenticate"); got != tt.challenge {
				t.Errorf("challenge %q, want %q", got, tt.challenge)
			}
			if served := w.Code == http.StatusOK; served != (tt.challenge == "") || served != (len(a.tokens) == 1) {
				t.Errorf("status %d, handler called %d times", w.Code, len(a.tokens))
			}
			if tt.challenge != "" && w.Code != http.StatusForbidden {
				t.Errorf("status %d, want 403", w.Code)
			}
			if w := a.get("/"); w.Code != http.StatusUnauthorized { // who calls comes before what he may
				t.Errorf("status %d without a token, want 401", w.Code)
			}
		})
	}
}

func TestRequireCopiesItsScopes(t *testing.T) {
	keys := newKeyring(t, ecKey)
	scopes := []string{"admin"}
	a := newAPI(t, Config{Keys: keys}, scopes...)
	scopes[0] = "orders:read"
	if w := a.get("/", "Bearer "+goodToken(t, keys)); w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
}

func TestRequireFunc(t *testing.T) {
	keys := newKeyring(t, ecKey)
	private := errors.New("tenant 7 is suspended")
	for name, tt := range map[string]struct {
		returns error
		status  int
		message string
		header  string
	}{
		"nil": {nil, 200, "", ""},
		"any error": {private, 403, "the access token does not permit this request",
			`Bearer error="insufficient_scope", error_description="the access token does not permit this request"`},
		"HTTPError": {echo.NewHTTPError(http.StatusNotFound, "no such order"), 404, "no such order", ""},
		"Error": {&Error{Status: 401, Code: "insufficient_user_authentication", Description: "log in again"}, 401, "log in again",
			`Bearer error="insufficient_user_authentication", error_description="log in again"`},
		"Error without status": {&Error{Code: "x"}, 403, "the access token does not permit this request",
			`Bearer error="insufficient_scope", error_description="the access token does not permit this request"`},
		"nil HTTPError": {(*echo.HTTPError)(nil), 403, "the access token does not permit this request",
			`Bearer error="insufficient_scope", error_description="the access token does not permit this request"`},
		"nil Error": {(*Error)(nil), 403, "the access token does not permit this request",
			`Bearer error="insufficient_scope", error_description="the access token does not permit this request"`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, Config{Keys: keys})
			a.GET("/f", a.serve, a.auth.RequireFunc(func(c echo.Context, tok *Token) error {
				if tok.ID != TokenFrom(c).ID || tok.ClientID != "app1" {
					t.Errorf("the check was given %v", tok)
				}
				return tt.returns
			}))
			w := a.get("/f", "Bearer "+goodToken(t, keys))
			if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.header || (w.Code == 200) != (len(a.tokens) == 1) {
				t.Errorf("status %d, challenge %q, handler called %d times", w.Code, w.Header().Get("WWW-Authenticate"), len(a.tokens))
			}
			if tt.message != "" && strings.TrimSpace(w.Body.String()) != `{"message":"`+tt.message+`"}` {
				t.Errorf("body %s", w.Body)
			}
			event := a.events[len(a.events)-1]
			wantStatus := tt.status
			if wantStatus == 200 {
				wantStatus = 0
			}
			if event.Status != wantStatus || event.ClientID != "app1" || (event.Err == nil) != (tt.returns == nil) {
				t.Errorf("event %+v", event)
			}
			if name == "any error" && !errors.Is(event.Err, private) {
				t.Errorf("the event lost the cause: %v", event.Err)
			}
			if cause := errors.Unwrap(event.Err); cause != nil && cause.Error() == "" { // and no panic, of a nil pointer
				t.Error("a cause that says nothing")
			}
			if w := a.get("/f"); w.Code != http.StatusUnauthorized {
				t.Errorf("status %d without a token", w.Code)
			}
		})
	}
}
