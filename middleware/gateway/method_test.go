package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// Flask and Django, among others, read "delete" as DELETE. So a method that is not in
// capitals would get the rule of all methods, and the upstream would do what the rule of
// DELETE is for.
func TestMethodsInOtherCase(t *testing.T) {
	idp := issuertest.New(t)
	reached := ""
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.Method }))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	rules := func(route string) *Policy {
		return mustPolicy(t,
			Rule{Route: route, Methods: []string{"DELETE"}, Scopes: []string{"orders:admin"}},
			Rule{Route: route, Scopes: []string{"orders:write"}},
		)
	}
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	proxy := echomiddleware.Proxy(echomiddleware.NewRoundRobinBalancer([]*echomiddleware.ProxyTarget{{URL: target}}))
	e.Group("/orders", newGateway(t, Config{Auth: newAuth(t, idp), Policy: rules("/orders/*")}).Require(), proxy).Any("/*", echo.NotFoundHandler)
	mux := http.NewServeMux()
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: rules("/orders/{path...}")})
	mux.Handle("/orders/{path...}", gw.Handler(httputil.NewSingleHostReverseProxy(target)))

	token := idp.Token(t, issuertest.Scopes("orders:write"))
	for name, h := range map[string]http.Handler{"Echo": e, "net/http": mux} {
		front := httptest.NewServer(h)
		for method, want := range map[string]int{
			"DELETE": 403, "delete": 400, "Delete": 400, "dELETE": 400, "get": 400, "POST": 200, "PROPFIND": 200, "M-SEARCH": 200,
		} {
			reached = ""
			r, err := http.NewRequestWithContext(t.Context(), method, front.URL+"/orders/1", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			answer, err := front.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != want || want != 200 && reached != "" {
				t.Errorf("%s: %s is answered %d, want %d; the upstream got %q", name, method, answer.StatusCode, want, reached)
			}
		}
		front.Close()
	}
}

// An answer to TRACE may hold the request as the upstream got it (RFC 9110, section 9.3.8),
// with the token that the gateway has added.
func TestTraceGetsNoToken(t *testing.T) {
	c := newCallers(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, false)
		_, _ = w.Write(dump)
	}))
	t.Cleanup(upstream.Close)
	f := newTestForwarder(t, ForwardConfig{Internal: newInternal(newTestKeys(t))})
	for _, face := range faces {
		front := serve(t, newFront(t, face, c, f, upstream.URL, nil))
		for _, method := range []string{"TRACE", "CONNECT", "trace", "connect", "TRACK"} {
			codes, bodies := exchange(t, front.Listener.Addr().String(),
				method+" /orders HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"+bearerLine(c.token(t, nil))+"\r\n")
			if len(codes) != 1 || codes[0] != http.StatusNotImplemented || strings.Contains(bodies[0], "eyJ") {
				t.Errorf("%s: %s: %v %q", face, method, codes, bodies)
			}
		}
	}
}
