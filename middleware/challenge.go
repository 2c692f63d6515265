package middleware

import (
	"net/http"
	"strconv"
	"strings"
)

// announce sets the headers that go with a refusal: challenges, and when to retry. With
// mustBind the guard accepts bound tokens only.
func (b *Bearer) announce(h http.Header, r *http.Request, e *Error, mustBind bool) {
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		h["Www-Authenticate"] = b.challenges(r, e, mustBind) // in canonical form, which costs nothing
		if e.Status == http.StatusUnauthorized && b.dpop != nil {
			if nonce := b.dpop.nonces.Current(); nonce != "" {
				setNonce(h, nonce)
			}
		}
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
}

// challenges are the values of WWW-Authenticate: that of the scheme that the request used,
// with the error, and with a 401 that of the other scheme too, if it can succeed.
func (b *Bearer) challenges(r *http.Request, e *Error, mustBind bool) []string {
	if b.dpop == nil {
		return []string{b.bearerChallenge(e)}
	}
	// A token that is bound to a certificate has the scheme Bearer (RFC 8705, section 3).
	bearerFits := b.certificates != nil || !mustBind && !b.requireBound
	var list []string
	if isDPoP(r) || !bearerFits {
		list = append(list, b.hint.challenge(schemeDPoP, b.dpop.algs, e))
		if bearerFits {
			list = append(list, b.bearerChallenge(&Error{}))
		}
	} else {
		list = append(list, b.bearerChallenge(e), b.hint.challenge(schemeDPoP, b.dpop.algs, &Error{}))
	}
	if e.Status != http.StatusUnauthorized {
		return list[:1]
	}
	return list
}

func (b *Bearer) bearerChallenge(e *Error) string {
	if e.Code == codeInvalidToken && e.Description == notValid && e.Scope == "" {
		return b.invalid
	}
	return b.hint.challenge(schemeBearer, "", e)
}

// hint is what every challenge of a Bearer says.
type hint struct {
	realm    string
	metadata string // RFC 9728, section 5.1; "": there are none
}

// challenge is one value of WWW-Authenticate. "If the request lacks any
// authentication information […], the resource server SHOULD NOT include an error
// code or other error information" (RFC 6750, section 3.1).
func (t *hint) challenge(scheme, algs string, e *Error) string {
	var b strings.Builder
	b.WriteString(scheme)
	separator := " "
	for _, p := range [...]struct{ name, value string }{
		{"realm", t.realm},
		{"error", e.Code},
		{"error_description", e.Description},
		{"scope", e.Scope},
		{"algs", algs}, // RFC 9449, section 7.1
		{"resource_metadata", t.metadata},
	} {
		if p.value == "" || (e.Code == "" && p.name != "realm" && p.name != "algs" && p.name != "resource_metadata") {
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
