package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// route is an action at a method and a path. ServeMux is not used: it answers unknown
// paths in text, and redirects to paths outside the group or prefix.
type route struct {
	method string
	path   []string // segments; one in braces is a value
	op     event.Op // of its event; "" for none
	query  []string // the parameters that it takes
	do     action
}

// match returns the values in an escaped path; false if the path is another.
func (t route) match(segments []string) (values map[string]string, ok bool) {
	if len(segments) != len(t.path) {
		return nil, false
	}
	values = map[string]string{}
	for n, want := range t.path {
		if !strings.HasPrefix(want, "{") {
			if segments[n] != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segments[n])
		if err != nil || segments[n] == "" || segments[n] == "." || segments[n] == ".." {
			return nil, false
		}
		values[strings.Trim(want, "{}")] = value
	}
	return values, true
}

// serves reports whether the route takes the method. HEAD is GET without the body,
// which net/http leaves out.
func (t route) serves(method string) bool {
	return t.method == method || t.method == http.MethodGet && method == http.MethodHead
}

// find returns the route of a request and sets the values of its path. Without a route
// it returns the methods that the path has.
func (a *API) find(r *http.Request) (found route, allow []string, ok bool) {
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for _, t := range a.routes {
		values, matches := t.match(segments)
		switch {
		case !matches:
			continue
		case !t.serves(r.Method):
			allow = append(allow, t.method)
			if t.method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
			continue
		}
		for name, value := range values {
			r.SetPathValue(name, value)
		}
		return t, nil, true
	}
	slices.Sort(allow)
	return route{}, slices.Compact(allow), false
}

// noRoute answers a request without a route: 405 if the path has methods, else 404.
func noRoute(w http.ResponseWriter, allow []string) {
	if len(allow) == 0 {
		(&refusal{status: http.StatusNotFound, code: "not_found", description: "there is no such path", reason: event.NotFound}).write(w)
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	e := malformed("this path takes " + strings.Join(allow, ", "))
	e.status = http.StatusMethodNotAllowed
	e.write(w)
}
