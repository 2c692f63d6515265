package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

var errSpelling = errors.New("gateway: the path is routed in another way when it is decoded")

// muxRoute is the route of a request that a ServeMux has routed: its pattern without the
// method. "" is none.
func muxRoute(r *http.Request) string {
	if method, rest, ok := strings.Cut(r.Pattern, " "); ok && !strings.Contains(method, "/") {
		return strings.TrimLeft(rest, " \t")
	}
	return r.Pattern
}

// checkMuxSpelling refuses a path that has a segment of the pattern in another spelling. A
// ServeMux routes by the decoded segments, and an upstream may not.
func checkMuxSpelling(route, raw string) error {
	if raw == "" {
		return nil
	}
	_, pattern, _ := strings.Cut(route, "/")
	raw = raw[1:]
	for pattern != "" {
		var want, got string
		want, pattern, _ = strings.Cut(pattern, "/")
		got, raw, _ = strings.Cut(raw, "/")
		if want != got && want != "" && !strings.HasPrefix(want, "{") && got != (&url.URL{Path: want}).EscapedPath() {
			return errSpelling
		}
	}
	return nil
}
