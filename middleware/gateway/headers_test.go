package gateway

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// What a proxy sets, a client cannot set by a twin, which the proxy passes on beside its own.
func TestTwinsOfWhatProxiesSet(t *testing.T) {
	f := newTestForwarder(t, ForwardConfig{})
	r := httptest.NewRequest("GET", "/orders", nil)
	for _, name := range []string{
		"X_Forwarded_For", "x-forwarded_for", "X.Forwarded.For", "X_forwarded_host", "X_Forwarded_Proto", "X_Real_IP",
		"Content_Length", "Transfer_Encoding", "Content_Type", "Keep_Alive", "Proxy_Connection",
	} {
		r.Header.Add(name, "admin")
	}
	kept := []string{"Content-Type", "X-Custom-Name", "X-Forwarded-For", "X_custom_name"}
	for _, name := range kept {
		r.Header[name] = []string{"a"}
	}
	var got []string
	f.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			got = append(got, name)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	if slices.Sort(got); !slices.Equal(got, kept) {
		t.Errorf("the proxy gets %q, want %q", got, kept)
	}
}

// passedOn are the names of the headers and the announced trailers that a proxy gets.
func passedOn(t *testing.T, c ForwardConfig, headers, trailers http.Header) (names, announced []string) {
	t.Helper()
	r := httptest.NewRequest("POST", "/orders", nil)
	r.Header, r.Trailer = headers, trailers
	newTestForwarder(t, c).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		names, announced = slices.Sorted(maps.Keys(r.Header)), slices.Sorted(maps.Keys(r.Trailer))
	})).ServeHTTP(httptest.NewRecorder(), r)
	return names, announced
}

// Each name of the lists, and its twin, has its kind, in headers and in trailers.
func TestListedHeaders(t *testing.T) {
	for _, of := range []struct {
		names []string
		goOn  bool
	}{{hopHeaders, false}, {credentialHeaders, false}, {overrideHeaders, false}, {proxyHeaders, true}} {
		for _, name := range of.names {
			twin := strings.ReplaceAll(name, "-", "_")
			if twin == name {
				twin = name[:1] + "." + name[1:] // no twin: it is one character longer
			}
			headers, trailers := passedOn(t, ForwardConfig{}, http.Header{name: {"a"}, twin: {"a"}}, http.Header{name: nil, twin: nil})
			var want []string
			if of.goOn {
				want = append(want, name)
			}
			if len(twin) > len(name) {
				want = append(want, twin)
			}
			slices.Sort(want)
			if !slices.Equal(headers, want) || !slices.Equal(trailers, want) {
				t.Errorf("%s and %s: headers %q and trailers %q go on, want %q", name, twin, headers, trailers, want)
			}
		}
	}
	for _, want := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		if !slices.Contains(hopHeaders, want) { // RFC 9110, section 7.6.1
			t.Errorf("%s is not among hopHeaders", want)
		}
	}
	for _, want := range []string{"For", "Host", "Proto", "Port", "Prefix", "Ssl"} {
		if !slices.Contains(proxyHeaders, "X-Forwarded-"+want) {
			t.Errorf("X-Forwarded-%s is not among proxyHeaders", want)
		}
	}
}

// What the app has named is removed, whatever kind its name has otherwise.
func TestStripNamesOfOtherKinds(t *testing.T) {
	c := ForwardConfig{
		Headers: map[string]string{"X-Real-Ip": "sub"},
		Strip:   []string{"X-Forwarded-For", "content-type", "Connection", "Te", "Keep-Alive"},
	}
	headers := http.Header{
		"X-Real-Ip": {"10.0.0.1"}, "X-Forwarded-For": {"10.0.0.1"}, "Content-Type": {"text/plain"},
		"Connection": {"x-one"}, "X-One": {"a"}, "X-Two": {"a"}, "Te": {"trailers"},
	}
	names, announced := passedOn(t, c, headers, http.Header{"Keep-Alive": nil, "Keep_alive": nil, "Content-Type": nil, "X-Note": nil})
	if want := []string{"Te", "X-Two"}; !slices.Equal(names, want) { // "TE: trailers" is the gateway's own
		t.Errorf("the headers %q go on, want %q", names, want)
	}
	if want := []string{"X-Note"}; !slices.Equal(announced, want) {
		t.Errorf("the trailers %q go on, want %q", announced, want)
	}
}

// Middleware in front of the Forwarder, such as an access log, finds the request as it was.
func TestEchoFindsItsRequest(t *testing.T) {
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			err := next(c)
			if r.Header.Get("X-Client-Id") != "admin" || len(r.Trailer) != 2 || r.Host != "example.com" {
				t.Errorf("header %q, trailer %q, host %q", r.Header, r.Trailer, r.Host)
			}
			return err
		}
	}, newTestForwarder(t, ForwardConfig{UpstreamHost: true}).Echo())
	e.POST("/orders", func(c echo.Context) error {
		if r := c.Request(); len(r.Header) != 0 || len(r.Trailer) != 1 || r.Host != "" {
			t.Errorf("the proxy gets header %q, trailer %q, host %q", r.Header, r.Trailer, r.Host)
		}
		return c.NoContent(http.StatusNoContent)
	})
	r, w := httptest.NewRequest("POST", "/orders", nil), httptest.NewRecorder()
	r.Header = http.Header{"X-Client-Id": {"admin"}}
	r.Trailer = http.Header{"X-Client-Id": nil, "X-Note": nil}
	if e.ServeHTTP(w, r); w.Code != http.StatusNoContent {
		t.Error(w.Code)
	}
}

// The upstream does what the policy has decided on.
func TestOverridesOfMethodAndPath(t *testing.T) {
	f := newTestForwarder(t, ForwardConfig{})
	r := httptest.NewRequest("POST", "/orders", nil)
	for _, name := range []string{
		"X-HTTP-Method-Override", "X_HTTP_Method_Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X_Rewrite_Url",
	} {
		r.Header.Set(name, "DELETE")
	}
	f.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.Header) > 0 {
			t.Errorf("the proxy gets %q", r.Header)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}
