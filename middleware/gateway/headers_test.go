package gateway

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
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
