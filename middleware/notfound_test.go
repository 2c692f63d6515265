package middleware

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"
)

// routes is a layout of routes, some of them guarded by m. Given no m at all it
// registers the same routes with no middleware, and so with no catch-all: what
// Echo itself answers then is what a guarded app must answer for whatever is no
// route.
type routes func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc)

var layouts = map[string]routes{
	"group": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		g := e.Group("/v1", m...)
		g.GET("/orders", h)
		g.POST("/orders", h)
		g.GET("/orders/:id", h)
		g.DELETE("/orders/:id", h)
		g.GET("/orders/:id/lines/:line", h)
		g.Add("PROPFIND", "/dav", h)
	},
	"route on the prefix itself": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		g := e.Group("/v1/orders", m...)
		g.GET("", h)
		g.POST("", h)
		g.PUT("/:id", h)
	},
	"wildcard route": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		g := e.Group("/v1", m...)
		g.GET("/*", h)
		g.HEAD("/*", h)
		g.POST("/orders", h)
	},
	"root group": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		g := e.Group("", m...)
		g.GET("/", h)
		g.GET("/v1/orders", h)
	},
	"nested groups": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		g := e.Group("/v1", m...)
		sub := g.Group("/orders", m...)
		sub.GET("", h)
		sub.PATCH("/:id", h)
		g.POST("/orders", h)
		g.Group("/orders/:id/lines", m...).GET("/:line", h)
	},
	"host group": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		g := e.Host("example.com", m...) // httptest's host
		g.GET("/v1/orders", h)
		g.Group("/v1", m...).POST("/orders/:id", h)
		e.DELETE("/v1/orders", h) // of another host
	},
	"guarded twice": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		g := e.Group("/v1", slices.Concat(m, m)...)
		g.GET("/orders", h, m...)
	},
	"routes alone": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		e.GET("/v1/orders", h, m...)
		e.POST("/v1/orders", h, m...)
	},
	"whole app": func(e *echo.Echo, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		e.Use(m...)
		e.GET("/v1/orders", h)
		e.POST("/v1/orders/:id", h)
	},
}

// TRAPS: Group.Use adds "" and "/*" routes: unknown paths, wrong methods and
// OPTIONS all turn 401 in a guarded group. (echo#1981, echo#2464)
func TestGuardedRoutesAnswerAsEcho(t *testing.T) {
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	token := "Bearer " + goodToken(t, keys)
	paths := []string{
		"/", "/v1", "/v1/", "/v1/orders", "/v1/orders/", "/v1/orders/7", "/v1/orders/7/lines", "/v1/orders/7/lines/1", "/v1/dav",
		"/v1/unknown", "/v1/unknown/", "/v1//orders", "/v1/orders%2F7", "/v1/orders?x=/v1", "/v2", "/v", "/v1x",
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW"}
	for name, register := range layouts {
		t.Run(name, func(t *testing.T) {
			plain, guarded := &api{Echo: echo.New()}, &api{Echo: echo.New()}
			register(plain.Echo, plain.serve)
			register(guarded.Echo, guarded.serve, auth.Require())
			for _, path := range paths {
				for _, method := range methods {
					want, got := plain.do(method, path), guarded.do(method, path)
					wantServed := len(plain.tokens)
					if len(guarded.tokens) > 0 {
						t.Fatalf("%s %s: let in without a token", method, path)
					}
					wantCode := want.Code
					if wantServed > 0 { // a route: guarded
						wantCode = http.StatusUnauthorized
					}
					if name == "whole app" && method == http.MethodOptions && want.Code == http.StatusNoContent {
						wantCode = http.StatusUnauthorized // as the package comment says
					}
					if got.Code != wantCode {
						t.Errorf("%s %s: status %d, want %d", method, path, got.Code, wantCode)
					}
					// Echo's own Allow leaves out methods that a less specific route
					// would serve, so what is wanted is what is true.
					wantAllow := ""
					if got.Code == want.Code && want.Header().Get("Allow") != "" {
						wantAllow = served(plain, methods, path)
					}
					if allow(got) != wantAllow {
						t.Errorf("%s %s: Allow %q, want %q", method, path, allow(got), wantAllow)
					}
					if got.Code == want.Code && got.Body.String() != want.Body.String() {
						t.Errorf("%s %s: body %s, want %s", method, path, got.Body, want.Body)
					}
					if with := guarded.do(method, path, token); with.Code != want.Code || len(guarded.tokens) != wantServed {
						t.Errorf("%s %s with a token: status %d, want %d", method, path, with.Code, want.Code)
					}
					plain.tokens, guarded.tokens = nil, nil
				}
			}
		})
	}
}

// allow is the Allow header, sorted.
func allow(w *httptest.ResponseRecorder) string {
	methods := strings.Split(strings.Join(w.Header().Values("Allow"), ", "), ", ")
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// served is the Allow header that tells the truth, sorted: OPTIONS, which Echo
// answers itself, and the methods that reach a handler.
func served(a *api, methods []string, path string) string {
	allowed := []string{http.MethodOptions}
	for _, method := range methods {
		before := len(a.tokens)
		if a.do(method, path); len(a.tokens) > before {
			allowed = append(allowed, method)
		}
	}
	slices.Sort(allowed)
	return strings.Join(allowed, ", ")
}

// Where there is something behind the guard on a catch-all route, an unknown
// path is a path like any other.
func TestCatchAllThatServesIsGuarded(t *testing.T) {
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	reached := 0
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	proxy := echomw.ProxyWithConfig(echomw.ProxyConfig{
		Balancer:  echomw.NewRoundRobinBalancer([]*echomw.ProxyTarget{{URL: target}}),
		Transport: transport,
	})
	count := func(c echo.Context) error {
		reached++
		return c.NoContent(http.StatusOK)
	}
	answers := func(echo.HandlerFunc) echo.HandlerFunc { return count }
	for name, register := range map[string]func(*echo.Echo){
		"proxy in the group":         func(e *echo.Echo) { e.Group("/v1", auth.Require(), proxy) },
		"proxy by Use":               func(e *echo.Echo) { g := e.Group("/v1", auth.Require()); g.Use(proxy) },
		"proxy in a nested group":    func(e *echo.Echo) { e.Group("/v1", auth.Require()).Group("", proxy) },
		"proxy on the app":           func(e *echo.Echo) { e.Use(auth.Require(), proxy) },
		"own RouteNotFound":          func(e *echo.Echo) { e.Group("/v1", auth.Require()).RouteNotFound("/*", count) },
		"own RouteNotFound, guarded": func(e *echo.Echo) { e.RouteNotFound("/*", count, auth.Require()) },
		"middleware that answers":    func(e *echo.Echo) { e.Group("/v1", auth.Require(), answers) },
		"two guards around it":       func(e *echo.Echo) { e.Group("/v1", auth.Require(), auth.Require("orders:read"), proxy) },
	} {
		t.Run(name, func(t *testing.T) {
			reached = 0
			a := &api{Echo: echo.New()}
			register(a.Echo)
			for _, method := range []string{"GET", "POST", "OPTIONS", "HEAD", "BREW"} {
				if w := a.do(method, "/v1/anything"); w.Code != http.StatusUnauthorized || reached > 0 {
					t.Errorf("%s: status %d, reached %d times", method, w.Code, reached)
				}
			}
			if w := a.get("/v1/anything", "Bearer "+goodToken(t, keys)); w.Code != http.StatusOK || reached != 1 {
				t.Errorf("with a token: status %d, reached %d times", w.Code, reached)
			}
		})
	}
}

// What the app says of missing routes is said in a guarded group too, when main sets
// it after this package was initialised, before or after the group is made.
func TestOwnNotFoundHandlers(t *testing.T) {
	keys := newKeyring(t, ecKey)
	var auth *Bearer // of each app its own: what is set counts at its first request
	notFound, notAllowed := echo.NotFoundHandler, echo.MethodNotAllowedHandler
	restore := func() { echo.NotFoundHandler, echo.MethodNotAllowedHandler = notFound, notAllowed }
	defer restore()
	page := func(status int, text string) echo.HandlerFunc {
		return func(c echo.Context) error { return c.String(status, text) }
	}
	set := func() {
		echo.NotFoundHandler, echo.MethodNotAllowedHandler = page(404, "no such page here"), page(405, "not like that")
	}
	layouts := map[string]func(e *echo.Echo, h echo.HandlerFunc){
		"group": func(e *echo.Echo, h echo.HandlerFunc) { e.Group("/v1", auth.Require()).GET("/orders", h) },
		"guarded twice": func(e *echo.Echo, h echo.HandlerFunc) {
			e.Group("/v1", auth.Require(), auth.Require("orders:read")).GET("/orders", h)
		},
		"nested": func(e *echo.Echo, h echo.HandlerFunc) {
			e.Group("", auth.Require()).Group("/v1", auth.Require()).GET("/orders", h)
		},
		"app": func(e *echo.Echo, h echo.HandlerFunc) { e.Use(auth.Require()); e.GET("/v1/orders", h) },
	}
	for name, register := range layouts {
		for _, before := range []bool{true, false} {
			auth = newAPI(t, Config{Keys: keys}).auth
			a := &api{Echo: echo.New()}
			if restore(); before {
				set()
			}
			// A handler of the same code as the app's "not found" is a route all the same.
			register(a.Echo, page(200, "orders"))
			if !before {
				set()
			}
			for _, tt := range []struct {
				method, path, token string
				status              int
				body                string
			}{
				{"GET", "/v1/unknown", "", 404, "no such page here"},
				{"POST", "/v1/orders", "", 405, "not like that"},
				{"OPTIONS", "/v1/orders", "", 204, ""},
				{"GET", "/v1/orders", "", 401, `{"message":"an access token is required"}`},
				{"GET", "/v1/orders", "Bearer " + goodToken(t, keys), 200, "orders"},
			} {
				if name == "app" { // it asks for a token first, as the package comment says
					if tt.method == "OPTIONS" {
						continue
					}
					if w := a.do(tt.method, tt.path); w.Code != http.StatusUnauthorized {
						t.Errorf("app, set before %v: %s %s without a token: %d", before, tt.method, tt.path, w.Code)
					}
					tt.token = "Bearer " + goodToken(t, keys)
					if tt.status == http.StatusUnauthorized {
						continue
					}
				}
				var authorization []string
				if tt.token != "" {
					authorization = append(authorization, tt.token)
				}
				w := a.do(tt.method, tt.path, authorization...)
				if w.Code != tt.status || strings.TrimSpace(w.Body.String()) != tt.body {
					t.Errorf("%s, set before %v: %s %s: %d %s, want %d %s", name, before, tt.method, tt.path, w.Code, w.Body, tt.status, tt.body)
				}
			}
		}
	}
}

// A handler that the app has set to nil is answered for too.
func TestNilNotFoundHandler(t *testing.T) {
	auth := newAPI(t, Config{Keys: newKeyring(t, ecKey)}).auth
	a := &api{Echo: echo.New()}
	a.Group("/v1", auth.Require()).GET("/orders", a.serve)
	original := echo.NotFoundHandler
	defer func() { echo.NotFoundHandler = original }()
	echo.NotFoundHandler = nil
	if w := a.get("/v1/unknown"); w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

// A request for a missing route costs the same however many routes there are.
func TestMissingRouteAmongMany(t *testing.T) {
	cost := map[int]float64{}
	for _, n := range []int{2, 2000} {
		r := missingRoute(t, n)
		r.ask(t, "", http.StatusNotFound)
		cost[n] = testing.AllocsPerRun(100, func() { r.ask(t, "", http.StatusNotFound) })
	}
	if cost[2000] > cost[2]+10 { // the race detector empties pools now and then
		t.Errorf("%v allocations among 2000 routes, %v among 2", cost[2000], cost[2])
	}
}

// missingRoute asks for an unknown path in a guarded group of n routes.
func missingRoute(tb testing.TB, n int) *route {
	tb.Helper()
	r := &route{app: echo.New(), request: httptest.NewRequest(http.MethodGet, "/v1/unknown/path", http.NoBody), answer: unread{header: http.Header{}}}
	r.request.Header["Authorization"] = []string{""}
	r.app.HTTPErrorHandler = func(err error, c echo.Context) { c.Response().WriteHeader(err.(*echo.HTTPError).Code) }
	g := r.app.Group("/v1", benchGuard(tb, Config{Keys: newKeyring(tb, ecKey)}).Require())
	for i := range n {
		g.GET("/route-"+strconv.Itoa(i)+"/:id", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	}
	return r
}

func BenchmarkMissingRoute(b *testing.B) {
	for _, n := range []int{2, 2000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			r := missingRoute(b, n)
			b.ReportAllocs()
			for b.Loop() {
				r.ask(b, "", http.StatusNotFound)
			}
		})
	}
}

// A route may say "not found" by Echo's own handler. It still does.
func TestRouteThatIsNotFound(t *testing.T) {
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	a := &api{Echo: echo.New()}
	a.GET("/gone", echo.NotFoundHandler, auth.Require())
	a.Group("/v1", auth.Require()).GET("/*", echo.NotFoundHandler)
	for _, path := range []string{"/gone", "/v1/gone"} {
		if w := a.get(path); w.Code != http.StatusNotFound || w.Header().Get("Allow") != "" {
			t.Errorf("%s: status %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

// Echo pools contexts, and its router leaves one alone when nothing matches: what
// an earlier request left in it is no route of this one.
func TestPooledContextIsNoRoute(t *testing.T) {
	a := &api{Echo: echo.New()}
	a.Use(newAPI(t, Config{Keys: newKeyring(t, ecKey)}).auth.Require())
	a.GET("/orders", a.serve)
	used := []echo.Context{a.AcquireContext(), a.AcquireContext(), a.AcquireContext()}
	for _, c := range used {
		c.SetPath("/orders")
		a.ReleaseContext(c)
	}
	if w := a.do("BREW", "/unknown"); w.Code != http.StatusNotFound || w.Header().Get("Allow") != "" {
		t.Errorf("status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// A nil Bearer guards its group's catch-all too: nothing is served, and no caller
// takes the app for one that works.
func TestMisconfiguredGroup(t *testing.T) {
	var none *Bearer
	a := &api{Echo: echo.New()}
	g := a.Group("/v1", none.Require())
	g.GET("/orders", a.serve)
	for _, path := range []string{"/v1/orders", "/v1/unknown"} {
		if w := a.get(path); w.Code != http.StatusInternalServerError || len(a.tokens) > 0 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}
