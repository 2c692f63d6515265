package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// The rule of "/orders/:id" is for one segment, as one reads it.
func TestParameterIsOneSegment(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t,
		Rule{Route: "/orders/:id", AnyToken: true}, Rule{Route: "/items/:id/parts/:part", AnyToken: true}, Rule{Route: "/files/:dir/*", AnyToken: true},
	)})
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/orders/:id", ok)
	e.GET("/items/:id/parts/:part", ok)
	e.GET("/files/:dir/*", ok)
	token := idp.Token(t)
	for target, want := range map[string]int{
		"/orders/1": 200, "/orders/1/": 200, "/orders/1/refund": 400, "/orders/1/refund/": 400, "/orders/1/a/b": 400, "/orders/": 404,
		"/items/1/parts/2": 200, "/items/1/parts/2/3": 400, "/items/1/2/parts/3": 404, "/files/a/b/c/d": 200,
	} {
		if w := get(e, "GET", target, token); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}

// A request that the app routes again, behind the guard, is decided on again.
func TestRoutedAgain(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t,
		Rule{Route: "/old", AnyToken: true}, Rule{Route: "/open", AnyToken: true},
		Rule{Route: "/admin", Methods: []string{"GET"}, AnyToken: true}, Rule{Route: "/admin", Scopes: []string{"admin"}},
	)})
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/open", ok, gw.Require())
	e.GET("/admin", ok, gw.Require())
	e.DELETE("/admin", ok, gw.Require())
	e.GET("/old", func(c echo.Context) error {
		c.Request().Method, c.Request().URL.Path = c.QueryParam("method"), c.QueryParam("path")
		c.Echo().Router().Find(c.Request().Method, c.Request().URL.Path, c)
		return c.Handler()(c)
	})
	token := idp.Token(t)
	for query, want := range map[string]int{"method=GET&path=/open": 200, "method=GET&path=/admin": 200, "method=DELETE&path=/admin": 403} {
		if w := get(e, "GET", "/old?"+query, token); w.Code != want {
			t.Errorf("%s: %d, want %d", query, w.Code, want)
		}
	}
}

// Echo's Proxy connects a client that asks for a WebSocket to the upstream, and then looks
// at nothing it sends. Behind the gateway it does not, also without a Forwarder: the
// client's next request on that connection is one that the policy decides on.
func TestNoRequestPassesBehindAWebSocket(t *testing.T) {
	idp := issuertest.New(t)
	var reached []string
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached = append(reached, r.Method+" "+r.URL.Path)
	}))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/open/*", AnyToken: true}, Rule{Route: "/admin/*", Scopes: []string{"admin"}})})
	proxy := echomiddleware.Proxy(echomiddleware.NewRoundRobinBalancer([]*echomiddleware.ProxyTarget{{URL: target}}))
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.Use(gw.Require())
	e.Group("/open", gw.Require(), proxy).Any("/*", echo.NotFoundHandler)
	e.Group("/admin", proxy).Any("/*", echo.NotFoundHandler)
	front := httptest.NewServer(e)
	t.Cleanup(front.Close)

	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	var codes []int
	for _, request := range []string{
		"GET /open/1 HTTP/1.1\r\nHost: a\r\n" + bearerLine(idp.Token(t)) + "Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
		"DELETE /admin/1 HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		_, _ = io.WriteString(conn, request)
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		codes = append(codes, answer.StatusCode)
	}
	if !slices.Equal(codes, []int{http.StatusOK, http.StatusUnauthorized}) || len(reached) != 1 {
		t.Errorf("answers %v, and the upstream got %q", codes, reached)
	}
}
