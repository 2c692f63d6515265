package middleware

import (
	"net/http"
	"testing"
)

// RFC 6750, section 3. TRAPS: quotes in challenge values are escaped.
func TestChallenge(t *testing.T) {
	for name, tt := range map[string]struct {
		realm string
		e     *Error
		want  string
	}{
		"bare":       {"", noCredential(), `Bearer realm="api"`},
		"bare realm": {"api", noCredential(), `Bearer realm="api"`},
		"invalid": {"api", invalidToken("", nil),
			`Bearer realm="api", error="invalid_token", error_description="the access token is not valid"`},
		"scope": {"", insufficientScope("", "a:read b", nil),
			`Bearer error="insufficient_scope", error_description="the access token does not permit this request", scope="a:read b"`},
		"quotes": {`a"b\c`, &Error{Code: `x"`, Description: `say "hi", error="none`},
			`Bearer realm="a\"b\\c", error="x\"", error_description="say \"hi\", error=\"none"`},
		"control": {"", &Error{Code: "x", Description: "a\r\nSet-Cookie: b\x00é"},
			`Bearer error="x", error_description="a??Set-Cookie: b???"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&hint{realm: tt.realm}).challenge(schemeBearer, "", tt.e); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAnnounce(t *testing.T) {
	auth := newAPI(t, Config{Keys: newKeyring(t, ecKey)}).auth
	for _, tt := range []struct {
		e                *Error
		challenge, retry bool
	}{
		{noCredential(), true, false},
		{invalidRequest("x"), true, false},
		{invalidToken("", nil), true, false},
		{insufficientScope("", "", nil), true, false},
		{unavailable("", nil), false, true},
		{misconfigured(nil), false, false},
	} {
		h := http.Header{}
		auth.announce(h, request("GET", "/"), tt.e, false)
		if (h.Get("WWW-Authenticate") != "") != tt.challenge || (h.Get("Retry-After") != "") != tt.retry {
			t.Errorf("%d: headers %v", tt.e.Status, h)
		}
	}
}

// An app's own error of the same code says its own words.
func TestAnnounceOfAnother(t *testing.T) {
	auth := newAPI(t, Config{Keys: newKeyring(t, ecKey), Realm: "api"}).auth
	for want, e := range map[string]*Error{
		`Bearer realm="api", error="invalid_token", error_description="the access token is not valid"`:              invalidToken("", nil),
		`Bearer realm="api", error="invalid_token", error_description="log in again"`:                               {Status: 401, Code: "invalid_token", Description: "log in again"},
		`Bearer realm="api", error="invalid_token", error_description="the access token is not valid", scope="a b"`: {Status: 401, Code: "invalid_token", Description: notValid, Scope: "a b"},
	} {
		h := http.Header{}
		if auth.announce(h, request("GET", "/"), e, false); h.Get("WWW-Authenticate") != want {
			t.Errorf("%s, want %s", h.Get("WWW-Authenticate"), want)
		}
	}
}
