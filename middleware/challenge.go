package middleware

import (
	"net/http"
	"strconv"
	"strings"
)

// announce sets the headers that go with a refusal: a challenge, and when to retry.
func (b *Bearer) announce(h http.Header, e *Error) {
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		text := b.invalid
		if e.Code != codeInvalidToken || e.Description != notValid || e.Scope != "" {
			text = challenge(b.realm, e)
		}
		h.Set("Www-Authenticate", text) // in canonical form, which costs nothing
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
}

// challenge is the value of WWW-Authenticate. "If the request lacks any
// authentication information […], the resource server SHOULD NOT include an error
// code or other error information" (RFC 6750, section 3.1).
func challenge(realm string, e *Error) string {
	var b strings.Builder
	b.WriteString("Bearer")
	separator := " "
	for _, p := range [...]struct{ name, value string }{
		{"realm", realm},
		{"error", e.Code},
		{"error_description", e.Description},
		{"scope", e.Scope},
	} {
		if p.value == "" || (e.Code == "" && p.name != "realm") {
			continue
		}
		b.WriteString(separator)
		b.WriteString(p.name)
		b.WriteByte('=')
		quote(&b, p.value)
		separator = ", "
	}
	if separator == " " {
		// The scheme "MUST be followed by one or more auth-param values", and
		// only a realm does not describe the request.
		b.WriteString(` realm="api"`)
	}
	return b.String()
}

// quote writes a quoted-string (RFC 9110, section 5.6.4). Bytes that no header
// may hold become question marks.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
