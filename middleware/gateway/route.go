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

// checkSegments refuses a path that has more segments than its route of Echo. Echo gives a
// parameter at the end of a route all that is left: to it, /orders/1/refund is /orders/:id
// if there is no other route. To an upstream it is not.
func checkSegments(route, path string) error {
	if strings.IndexByte(route, ':') < 0 || strings.HasSuffix(route, "*") {
		return nil
	}
	if segments(path) > segments(route) {
		return errSegments
	}
	return nil
}

var errSegments = errors.New("gateway: a parameter of the route would be several segments of the path")

// segments counts the segments of a path. A slash at its end begins none.
func segments(path string) (n int) {
	for i := range len(path) - 1 {
		if path[i] == '/' {
			n++
		}
	}
	return n
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
