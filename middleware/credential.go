package middleware

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// The authentication schemes of an access token (RFC 6750, section 2.1; RFC 9449, section
// 7.1). The name of a scheme is case-insensitive (RFC 9110, section 11.1).
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
)

// credential finds the token of a request, and whether its scheme is DPoP. It reads one
// header only. A request that has a second token elsewhere is ambiguous and refused.
func (b *Bearer) credential(r *http.Request) (token string, dpop bool, e *Error) {
	headers := r.Header["Authorization"]
	if len(headers) > 1 {
		headers = stated(headers)
	}
	switch {
	case len(headers) == 0:
		return "", false, noCredential()
	case len(headers) > 1:
		return "", false, invalidRequest("%d Authorization headers", len(headers))
	}
	scheme, token, _ := strings.Cut(headers[0], " ") // credentials = "Bearer" 1*SP b64token
	if scheme != schemeBearer && !strings.EqualFold(scheme, schemeBearer) {
		if dpop = b.takesDPoP() && strings.EqualFold(scheme, schemeDPoP); !dpop {
			return "", false, noCredential()
		}
	}
	if r.URL.RawQuery != "" && queryHasToken(r.URL.RawQuery) {
		return "", dpop, invalidRequest("access_token in the query beside the Authorization header")
	}
	if len(token) > b.maxTokenBytes { // before anything walks it
		return "", dpop, invalidToken(event.MalformedToken, fmt.Errorf("middleware: token of %d bytes, more than %d", len(token), b.maxTokenBytes))
	}
	if token = strings.TrimLeft(token, " "); token == "" {
		return "", dpop, invalidRequest("%.6s without a token", scheme)
	}
	return token, dpop, nil
}

// takesDPoP reports whether a token may be sent with the scheme DPoP. Of tenants that is
// not known before the token is read.
func (b *Bearer) takesDPoP() bool {
	return b.dpop != nil || b.members != nil && b.members.tenants != nil
}

// stated returns the headers that are not empty. An empty one is the same as none.
func stated(headers []string) []string {
	var list []string
	for _, h := range headers {
		if strings.TrimSpace(h) != "" {
			list = append(list, h)
		}
	}
	return list
}

// isDPoP reports whether a request was sent with the scheme DPoP.
func isDPoP(r *http.Request) bool {
	headers := stated(r.Header["Authorization"])
	if len(headers) != 1 {
		return false
	}
	scheme, _, _ := strings.Cut(headers[0], " ")
	return strings.EqualFold(scheme, schemeDPoP)
}

// several refuses two header lines that a proxy has joined. A cached token needs no such
// check.
func several(credential string) *Error {
	if strings.IndexByte(credential, ' ') >= 0 || strings.IndexByte(credential, ',') >= 0 { // one byte at a time is quick
		return invalidRequest("more than one token in the Authorization header")
	}
	return nil
}

func queryHasToken(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" { // an empty parameter is the same as none
			continue
		}
		if name == "access_token" {
			return true
		}
		if strings.Contains(name, "%") {
			if plain, err := url.QueryUnescape(name); err == nil && plain == "access_token" {
				return true
			}
		}
	}
	return false
}
