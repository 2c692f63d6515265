package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// pathRoutes are the routes of the gateway in these tests. The token may do all but what is
// for admins.
var pathRoutes = []string{"/orders/*", "/orders/admin", "/orders/admin/*", "/items/:id/list", "/public/*", "/batch!now", "/at@home", "/*"}

// upstream records the request targets that arrive as bytes on the wire.
type upstream struct{ targets []string }

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(wire.String(), "\r\n")
	_, rest, _ := strings.Cut(line, " ")
	u.targets = append(u.targets, rest[:strings.LastIndex(rest, " ")])
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// pathGateway is a gateway with a proxy in front of an upstream.
type pathGateway struct {
	handler  http.Handler
	upstream *upstream
	routed   *string                  // the route of the latest request that was let in
	route    func(path string) string // how the gateway's router routes a plain path
	token    string
}

func pathRules(t testing.TB, patterns []string) *Policy {
	var rules []Rule
	for _, pattern := range patterns {
		r := Rule{Route: pattern, Scopes: []string{"user"}}
		if strings.Contains(pattern, "admin") {
			r.Scopes = []string{"admin"}
		}
		rules = append(rules, r)
	}
	return mustPolicy(t, rules...)
}

func newPathProxy(u *upstream) *httputil.ReverseProxy {
	target := &url.URL{Scheme: "http", Host: "upstream.test"}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: u}
}

func newEchoPaths(t testing.TB, idp *issuertest.Issuer) *pathGateway {
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: pathRules(t, pathRoutes)})
	g := &pathGateway{upstream: &upstream{}, routed: new(string), token: idp.Token(t, issuertest.Scopes("user"))}
	proxy := newPathProxy(g.upstream)
	e := echo.New()
	e.Use(gw.Require())
	for _, pattern := range pathRoutes {
		e.Any(pattern, func(c echo.Context) error {
			*g.routed = c.Path()
			proxy.ServeHTTP(c.Response(), c.Request())
			return nil
		})
	}
	g.handler = e
	g.route = func(path string) string {
		c := e.NewContext(httptest.NewRequest("GET", "/", nil), nil)
		e.Router().Find("GET", path, c)
		return c.Path()
	}
	return g
}

func newMuxPaths(t testing.TB, idp *issuertest.Issuer) *pathGateway {
	var patterns []string
	for _, pattern := range pathRoutes {
		pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, "*", "{rest...}"), ":id", "{id}")
		patterns = append(patterns, pattern)
	}
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: pathRules(t, patterns)})
	g := &pathGateway{upstream: &upstream{}, routed: new(string), token: idp.Token(t, issuertest.Scopes("user"))}
	proxy := newPathProxy(g.upstream)
	mux := http.NewServeMux()
	for _, pattern := range patterns {
		mux.Handle(pattern, gw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			*g.routed = r.Pattern
			proxy.ServeHTTP(w, r)
		})))
	}
	g.handler = mux
	g.route = func(path string) string {
		_, pattern := mux.Handler(&http.Request{Method: "GET", URL: &url.URL{Path: path}})
		return pattern
	}
	return g
}

// send sends a request target as it is on the wire. It returns the status, 0 if net/http
// itself refuses the request, and the targets that the upstream got.
func (g *pathGateway) send(target string) (status int, got []string) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: api.test\r\n\r\n")))
	if err != nil {
		return 0, nil
	}
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header.Set("Authorization", "Bearer "+g.token)
	g.upstream.targets, *g.routed = nil, ""
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	_, _ = io.Copy(io.Discard, w.Result().Body)
	return w.Code, g.upstream.targets
}

// readings are the plain paths that one upstream or another makes of a target.
func readings(target string) []string {
	path, _, _ := strings.Cut(target, "?")
	path, _, _ = strings.Cut(path, "#")
	all := []string{path}
	add := func(f func(string) string) {
		for _, p := range slices.Clone(all) {
			if changed := f(p); !slices.Contains(all, changed) {
				all = append(all, changed)
			}
		}
	}
	decode := func(p string) string {
		if decoded, err := url.PathUnescape(p); err == nil {
			return decoded
		}
		return p
	}
	add(decode)
	add(decode) // twice
	add(func(p string) string { return strings.ReplaceAll(p, `\`, "/") })
	add(func(p string) string { // as a servlet container: parameters of segments go
		segments := strings.Split(p, "/")
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, ";")
		}
		return strings.Join(segments, "/")
	})
	add(func(p string) string { p, _, _ = strings.Cut(p, "\x00"); return p })
	add(func(p string) string {
		for strings.Contains(p, "//") {
			p = strings.ReplaceAll(p, "//", "/")
		}
		return p
	})
	add(func(p string) string { // RFC 3986, section 5.2.4
		if u, err := url.Parse("http://x/"); err == nil {
			return u.ResolveReference(&url.URL{Path: p}).Path
		}
		return p
	})
	return all
}

// agree fails if an upstream could read a request that was let in as one for another route.
func (g *pathGateway) agree(t *testing.T, target string) {
	t.Helper()
	status, got := g.send(target)
	if len(got) == 0 {
		if status == http.StatusOK {
			t.Errorf("%q: 200, and nothing went upstream", target)
		}
		return
	}
	if strings.Contains(*g.routed, "admin") {
		t.Errorf("%q went upstream by %s", target, *g.routed)
	}
	for _, path := range readings(got[0]) {
		if strings.ContainsAny(path, "?#%") || strings.ContainsFunc(path, func(r rune) bool { return r >= 0x80 }) {
			continue // no plain path: a route has no such bytes
		}
		if route := g.route(path); route != *g.routed {
			t.Errorf("%q was routed to %s, and went upstream as %q, which is %q there: %s", target, *g.routed, got[0], path, route)
		}
	}
}

var pathTable = []struct {
	target     string
	echo, http int // status; 0: net/http refuses the request
}{
	{"/orders/1", 200, 200},
	{"/orders/1?next=/orders/../admin", 200, 200},
	{"/items/1/list", 200, 200},
	{"/items/1/list/", 200, 200},
	{"/orders/", 200, 200},
	{"/orders/a%20b", 200, 200},
	{"/orders/user%40example.com", 200, 200},
	{"/orders/a%2Bb%2C%3D%26", 200, 200},
	{"/orders/100%25", 200, 200},
	{"/orders/%C3%A9", 200, 200},
	{"/orders/...", 200, 200},
	{"/orders/.well-known", 200, 200},
	{"/orders/a%23b", 200, 200},
	{"/orders/a%3Fb", 400, 400},
	{"/orders/admin%3F.html", 400, 400},
	{"/orders/x%41dmin", 200, 200},
	{"/items/1/%6Cist", 400, 400},
	{"/batch!now", 200, 200},
	{"/batch%21now", 200, 200}, // net/url, and so either router, takes both spellings for one,
	{"/at@home", 200, 200},
	{"/at%40home", 400, 400},
	{"/orders/admin", 403, 403},
	{"/orders/admin/users", 403, 403},
	{"/orders/%61dmin", 400, 400},
	{"/orders/admin%2Fusers", 400, 400},
	{"/orders/admin%2fusers", 400, 400},
	{"/%6Frders/admin", 400, 400},
	{"/orders//admin", 400, 307},
	{"//orders/1", 400, 307},
	{"/orders/1//", 400, 307},
	{"/public/../orders/admin", 400, 307},
	{"/public/./x", 400, 307},
	{"/public/..", 400, 307},
	{"/public/.", 400, 307},
	{"/..", 400, 307},
	{"/public/%2e%2e/orders/admin", 400, 400},
	{"/public/%2E./orders/admin", 400, 400},
	{"/public/..%2Forders/admin", 400, 400},
	{"/public/..%5Corders%5Cadmin", 400, 400},
	{`/public/..\orders\admin`, 400, 400},
	{"/public/x%5c..", 400, 400},
	{"/orders/admin;x=1", 400, 400},
	{"/orders/admin%3Bx=1", 400, 400},
	{"/public/..;/orders/admin", 400, 400},
	{"/orders/admin%00", 400, 400},
	{"/orders/admin%0d%0aX:1", 400, 400},
	{"/orders/admin%09", 400, 400},
	{"/orders/admin%7f", 400, 400},
	{"/orders/%c2%85", 400, 400},
	{"/orders/%61%64min%252e", 400, 400},
	{"/public/%252e%252e/orders/admin", 400, 400},
	{"/public/%25252e", 400, 400},
	{"/orders/%c0%af", 400, 400},
	{"/orders/%ff", 400, 400},
	{"/orders/1#x", 400, 400},
	{"http://api.test/orders/1", 400, 400},
	{"http://other.test/orders/admin", 400, 400},
	{"https:/orders/1", 400, 400},
	{"*", 400, 400},
	{"orders/1", 0, 0},
	{"/orders/%zz", 0, 0},
	{"/orders/%2", 0, 0},
}

// Policy, router and upstream read each path in one way, or the answer is 400.
func TestPaths(t *testing.T) {
	idp := issuertest.New(t)
	inEcho, inMux := newEchoPaths(t, idp), newMuxPaths(t, idp)
	for _, tt := range pathTable {
		if status, _ := inEcho.send(tt.target); status != tt.echo {
			t.Errorf("Echo: %q: %d, want %d", tt.target, status, tt.echo)
		}
		if status, _ := inMux.send(tt.target); status != tt.http {
			t.Errorf("ServeMux: %q: %d, want %d", tt.target, status, tt.http)
		}
		inEcho.agree(t, tt.target)
		inMux.agree(t, tt.target)
	}
}

// What middleware before the gateway has changed is checked as it goes upstream.
func TestPathOfARewrittenRequest(t *testing.T) {
	for name, u := range map[string]*url.URL{
		"no URL":                nil,
		"no path":               {},
		"no slash":              {Path: "orders"},
		"two spellings":         {Path: "/public/1", RawPath: "/orders/1"},
		"a spelling of none":    {Path: "/orders/%zz", RawPath: "/orders/%zz"},
		"not encoded":           {Path: "/orders/é", RawPath: "/orders/é"},
		"opaque":                {Opaque: "//x/orders", Path: "/orders"},
		"a question mark":       {Path: "/orders/a?b", RawPath: "/orders/a?b"},
		"a control character":   {Path: "/orders/\x01"},
		"another host's":        {Host: "x", Path: "/orders"},
		"with a user":           {User: url.User("x"), Path: "/orders"},
		"a next line character": {Path: "/orders/\u0085"},
	} {
		if err := checkPath(&http.Request{URL: u}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := checkPath(&http.Request{URL: &url.URL{Path: "/orders/a b", RawPath: "/orders/a%20b"}}); err != nil {
		t.Error(err)
	}
}

func FuzzPaths(f *testing.F) {
	for _, tt := range pathTable {
		f.Add(tt.target)
	}
	idp := issuertest.New(f)
	inEcho, inMux := newEchoPaths(f, idp), newMuxPaths(f, idp)
	f.Fuzz(func(t *testing.T, target string) {
		if strings.ContainsAny(target, " \r\n") || len(target) > 1000 {
			return
		}
		inEcho.agree(t, target)
		inMux.agree(t, target)
	})
}
