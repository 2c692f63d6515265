package middleware

import (
	"net/http"
	"slices"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Without a credential a request is let in without a token. A bad credential is never the
// same as none.
func TestOptional(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	good := goodToken(t, keys)
	forged := forge(t, `{"alg":"ES256","typ":"at+jwt","kid":"x"}`, payload(nil), strangeKey)
	seen := func(r *http.Request, token *Token) string {
		if token == nil {
			return "nobody"
		}
		return token.ClientID
	}
	plain := a.auth.HandlerOptional(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(seen(r, TokenFromContext(r.Context()))))
	}), "orders:read")
	inEcho := echo.New()
	inEcho.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, seen(c.Request(), TokenFrom(c))) }, a.auth.Optional("orders:read"))
	for name, h := range map[string]http.Handler{"net/http": plain, "Echo": inEcho} {
		for _, tt := range []struct {
			name, path    string
			authorization []string
			status        int
			body          string
			reason        event.Reason
		}{
			{"none", "/", nil, 200, "nobody", ""},
			{"an empty header", "/", []string{""}, 200, "nobody", ""},
			{"a blank header", "/", []string{"  "}, 200, "nobody", ""},
			{"two empty headers", "/", []string{"", " "}, 200, "nobody", ""},
			{"an empty parameter", "/?access_token=", nil, 200, "nobody", ""},
			{"a good token", "/", []string{"Bearer " + good}, 200, "app1", ""},
			{"a good token and an empty header", "/", []string{"", "bearer " + good}, 200, "app1", ""},
			{"a forged token", "/", []string{"Bearer " + forged}, 401, "", event.UnknownKey},
			{"junk", "/", []string{"Bearer x"}, 401, "", event.MalformedToken},
			{"no token", "/", []string{"Bearer "}, 400, "", event.MalformedRequest},
			{"the scheme alone", "/", []string{"Bearer"}, 400, "", event.MalformedRequest},
			{"two tokens", "/", []string{"Bearer " + good, "Bearer " + good}, 400, "", event.MalformedRequest},
			{"two, joined", "/", []string{"Bearer " + good + ", Bearer " + forged}, 400, "", event.MalformedRequest},
			{"one here and one there", "/?access_token=" + good, []string{"Bearer " + good}, 400, "", event.MalformedRequest},
			{"in the query", "/?access_token=" + good, nil, 401, "", event.NoToken},
			{"in the query, escaped", "/?access%5Ftoken=x", nil, 401, "", event.NoToken},
			{"another scheme", "/", []string{"Basic YTpi"}, 401, "", event.NoToken},
			{"a scheme misspelt", "/", []string{"Bearer\t" + good}, 401, "", event.NoToken},
			{"DPoP, which is off", "/", []string{"DPoP " + good}, 401, "", event.NoToken},
			{"without the scope", "/", []string{"Bearer " + sign(t, keys, payload(map[string]string{"scope": `"x"`}))}, 403, "", event.InsufficientScope},
			{"expired", "/", []string{"Bearer " + sign(t, keys, payload(map[string]string{"exp": "1"}))}, 401, "", event.Expired},
		} {
			a.events = nil
			w := ask(h, http.MethodGet, tt.path, tt.authorization...)
			if w.Code != tt.status || tt.status == 200 && w.Body.String() != tt.body {
				t.Errorf("%s: %s: %d %s", name, tt.name, w.Code, w.Body)
			}
			if len(a.events) != 1 || a.events[0].Reason != tt.reason || a.events[0].Op != event.OpRequest || tt.body == "nobody" && a.events[0].ClientID != "" {
				t.Errorf("%s: %s: reported %+v", name, tt.name, a.events)
			}
		}
	}
	for name, h := range map[string]http.Handler{
		"a scope that cannot exist": a.auth.HandlerOptional(plain, "a b"), "the zero Bearer": (&Bearer{}).HandlerOptional(plain), "nil": a.auth.HandlerOptional(nil),
	} {
		if w := ask(h, http.MethodGet, "/"); w.Code < 400 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// A guard further in decides for itself, and the request is reported once.
func TestOptionalOutside(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	a.Group("/echo", a.auth.Optional()).GET("", a.serve, a.auth.Require())
	a.Group("/open", a.auth.Optional()).GET("", a.serve, a.auth.Optional("orders:read"))
	for name, tt := range map[string]struct {
		h    http.Handler
		path string
		want []event.Reason // without a token, and with one
	}{
		"net/http":           {a.auth.HandlerOptional(a.auth.Handler(served)), "/", []event.Reason{event.NoToken, ""}},
		"Echo":               {a, "/echo", []event.Reason{event.NoToken, ""}},
		"two that are":       {a, "/open", []event.Reason{"", ""}},
		"net/http with Echo": {a.auth.HandlerOptional(a), "/echo", []event.Reason{event.NoToken, ""}},
		"Require outside":    {a.auth.Handler(a.auth.HandlerOptional(served)), "/", []event.Reason{event.NoToken, ""}},
	} {
		a.events = nil
		ask(tt.h, http.MethodGet, tt.path)
		ask(tt.h, http.MethodGet, tt.path, "Bearer "+goodToken(t, keys))
		var got []event.Reason
		for _, e := range a.events {
			got = append(got, e.Reason)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: reported %q, want %q", name, got, tt.want)
		}
	}
}
