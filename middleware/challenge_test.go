package middleware

import (
	"net/http"
	"testing"
)

// RFC 6750 §3. TRAPS: quotes in challenge values are escaped.
func TestChallenge(t *testing.T) {
	for name, tt := range map[string]struct {
		realm string
		e     *Error
		want  string
	}{
		"bare":       {"", noCredential(), `Bearer realm="api"`},
		"bare realm": {"api", noCredential(), `Bearer realm="api"`},
		"invalid": {"api", invalidToken(nil),
			`Bearer realm="api", error="invalid_token", error_description="the access token is not valid"`},
		"scope": {"", insufficientScope("a:read b", nil),
			`Bearer error="insufficient_scope", error_description="the access token does not permit this request", scope="a:read b"`},
		"quotes": {`a"b\c`, &Error{Code: `x"`, Description: `say "hi", error="none`},
			`Bearer realm="a\"b\\c", error="x\"", error_description="say \"hi\", error=\"none"`},
		"control": {"", &Error{Code: "x", Description: "a\r\nSet-Cookie: b\x00é"},
			`Bearer error="x", error_description="a??Set-Cookie: b???"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := challenge(tt.realm, tt.e); got != tt.want {
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
		{invalidToken(nil), true, false},
		{insufficientScope("", nil), true, false},
		{unavailable(nil), false, true},
		{misconfigured(nil), false, false},
	} {
		h := http.Header{}
		auth.announce(h, tt.e)
		if (h.Get("WWW-Authenticate") != "") != tt.challenge || (h.Get("Retry-After") != "") != tt.retry {
			t.Errorf("%d: headers %v", tt.e.Status, h)
		}
	}
}
