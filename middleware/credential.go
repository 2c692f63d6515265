package middleware

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// credential finds the token of a request. It reads one header only. A request that has
// a second token elsewhere is ambiguous and refused.
func credential(r *http.Request, maxBytes int) (string, *Error) {
	headers := r.Header["Authorization"]
	if len(headers) > 1 {
		headers = stated(headers)
	}
	switch {
	case len(headers) == 0:
		return "", noCredential()
	case len(headers) > 1:
		return "", invalidRequest("%d Authorization headers", len(headers))
	}
	// credentials = "Bearer" 1*SP b64token (RFC 6750, section 2.1); the name of a scheme
	// is case-insensitive (RFC 9110, section 11.1).
	scheme, token, _ := strings.Cut(headers[0], " ")
	if scheme != "Bearer" && !strings.EqualFold(scheme, "Bearer") {
		return "", noCredential()
	}
	if r.URL.RawQuery != "" && queryHasToken(r.URL.RawQuery) {
		return "", invalidRequest("access_token in the query beside the Authorization header")
	}
	if len(token) > maxBytes { // before anything walks it
		return "", invalidToken(event.MalformedToken, fmt.Errorf("middleware: token of %d bytes, more than %d", len(token), maxBytes))
	}
	if token = strings.TrimLeft(token, " "); token == "" {
		return "", invalidRequest("Bearer without a token")
	}
	return token, nil
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
