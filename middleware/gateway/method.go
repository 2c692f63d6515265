package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// checkMethod refuses a method with small letters. Methods are case-sensitive (RFC 9110,
// section 9.1), so "delete" has the rule of all methods, and upstreams such as Django and
// Flask read it as DELETE.
func checkMethod(method string) error {
	for i := range len(method) {
		if c := method[i]; c >= 'a' && c <= 'z' {
			return fmt.Errorf("gateway: the method %.20q is not in capitals", method)
		}
	}
	return nil
}

// checkTarget refuses a request whose method or path an upstream could read in another way.
func checkTarget(r *http.Request) error {
	if err := checkMethod(r.Method); err != nil {
		return err
	}
	return checkPath(r)
}

// notForwarded returns why a method does not go upstream; nil if it does. The answer to
// TRACE, and to TRACK of IIS, is the request as the upstream got it, with what the gateway
// has added for the upstream alone. Behind CONNECT there is a tunnel that no gateway
// checks.
func notForwarded(method string) *forwardError {
	if len(method) != len("TRACE") && len(method) != len("CONNECT") {
		return nil
	}
	for _, name := range [...]string{http.MethodTrace, "TRACK", http.MethodConnect} {
		if strings.EqualFold(method, name) {
			return &forwardError{
				status: http.StatusNotImplemented, code: "invalid_request", text: "requests with this method are not forwarded",
				cause: errors.New("gateway: TRACE, TRACK and CONNECT do not go upstream"),
			}
		}
	}
	return nil
}
