package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// routes are those of the router, as far as they are known: Echo can list them, and a
// ServeMux cannot.
type routes struct {
	once  sync.Once
	known atomic.Pointer[map[string][]string] // methods by pattern
}

const anyMethod = "*"

// lack reports whether no route is one of the rule's.
func (r *routes) lack(of *rule) bool {
	known := r.known.Load()
	if known == nil {
		return false
	}
	for _, method := range (*known)[of.Route] {
		if method == anyMethod || len(of.Methods) == 0 || slices.Contains(of.Methods, method) ||
			method == http.MethodHead && slices.Contains(of.Methods, http.MethodGet) {
			return false
		}
	}
	return true
}
