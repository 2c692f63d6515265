package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// ordersRules are of a small gateway.
func ordersRules() []Rule {
	return []Rule{
		{Route: "/orders/:id", Methods: []string{"GET"}, Scopes: []string{"orders:read"}},
		{Route: "/orders/:id", Methods: []string{"PUT", "DELETE"}, Scopes: []string{"orders:write"}},
		{Route: "/ping", AnyToken: true},
		{Route: "/gone", AnyToken: true},
	}
}

func newOrders(gw *Gateway) *echo.Echo {
	e := echo.New()
	e.Use(gw.Require())
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
		e.Add(method, "/orders/:id", ok)
	}
	e.GET("/ping", ok)
	e.GET("/unlisted", ok)
	return e
}

func TestGateway(t *testing.T) {
	idp := issuertest.New(t)
	var mu sync.Mutex
	var refused []event.Reason
	auth := newAuth(t, idp, func(c *bearer.Config) {
		c.Observe = func(_ context.Context, e bearer.Event) {
			mu.Lock()
			defer mu.Unlock()
			refused = append(refused, e.Reason)
		}
	})
	gw := newGateway(t, Config{Auth: auth, Policy: mustPolicy(t, ordersRules()...)})
	e := newOrders(gw)
	reads := idp.Token(t, issuertest.Scopes("orders:read"))
	for _, tt := range []struct {
		method, target, token string
		status                int
		reason                event.Reason
		challenge             string
	}{
		{"GET", "/orders/1", reads, 200, "", ""},
		{"HEAD", "/orders/1", reads, 200, "", ""},
		{"PUT", "/orders/1", reads, 403, event.InsufficientScope, `scope="orders:write"`},
		{"PATCH", "/orders/1", reads, 403, event.Forbidden, `error="insufficient_scope"`},
		{"GET", "/ping", reads, 200, "", ""},
		{"GET", "/unlisted", reads, 403, event.Forbidden, `error="insufficient_scope"`},
		{"GET", "/orders/1", "", 401, event.NoToken, "Bearer"},
		{"PATCH", "/orders/1", "", 401, event.NoToken, "Bearer"},
		{"GET", "/unlisted", "", 401, event.NoToken, "Bearer"},
		{"GET", "/unlisted", idp.Token(t, issuertest.Bad("forged")), 401, event.BadSignature, `error="invalid_token"`},
	} {
		refused = nil
		w := get(e, tt.method, tt.target, tt.token)
		if w.Code != tt.status || !strings.Contains(w.Header().Get("WWW-Authenticate"), tt.challenge) {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.target, w.Code, w.Header().Get("WWW-Authenticate"), tt.status, tt.challenge)
		}
		if len(refused) != 1 || refused[0] != tt.reason {
			t.Errorf("%s %s: reported %q, want %q", tt.method, tt.target, refused, tt.reason)
		}
	}
}

// What the router does not have is answered as without a gateway, with a token or without.
// So no answer tells which routes have a rule.
func TestMissingRoutes(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, ordersRules()...)})
	group := echo.New()
	g := group.Group("", gw.Require())
	g.GET("/orders/:id", ok)
	g.GET("/ping", ok)
	whole := newOrders(gw)
	for _, token := range []string{"", idp.Token(t), idp.Token(t, issuertest.Bad("expired"))} {
		for name, e := range map[string]*echo.Echo{"a group": group, "the app": whole} {
			if w := get(e, "GET", "/nowhere", token); w.Code != 404 {
				t.Errorf("%s: an unknown path: %d", name, w.Code)
			}
			if w := get(e, "GET", "/gone", token); w.Code != 404 {
				t.Errorf("%s: a rule without a route: %d", name, w.Code)
			}
			if w := get(e, "POST", "/ping", token); w.Code != 405 || !strings.Contains(w.Header().Get("Allow"), "GET") {
				t.Errorf("%s: a wrong method: %d, Allow %q", name, w.Code, w.Header().Get("Allow"))
			}
			// e.Use: "Order of middleware" of package middleware.
			if w := get(e, "OPTIONS", "/ping", token); name == "a group" && w.Code != 204 {
				t.Errorf("%s: OPTIONS: %d", name, w.Code)
			}
		}
	}
}

// A preflight has no token: CORS middleware in front answers it.
func TestPreflight(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/orders/*", AnyToken: true})})
	e := echo.New()
	e.Use(echomw.CORS(), gw.Require())
	e.Any("/orders/*", ok)
	r := httptest.NewRequest("OPTIONS", "/orders/1", nil)
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "PUT")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	if w := get(e, "OPTIONS", "/orders/1", ""); w.Code == 200 {
		t.Error("OPTIONS without a token went through")
	}
}

// With net/http the route is the pattern of the ServeMux.
func TestHandler(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t,
		Rule{Route: "/orders/{id}", Methods: []string{"GET"}, Scopes: []string{"orders:read"}},
		Rule{Route: "api.test/orders/{id}", Scopes: []string{"orders:write"}},
		Rule{Route: "/all/", AnyToken: true},
	)})
	mux := newMux(gw, "GET /orders/{id}", "PUT  api.test/orders/{id}", "/all/", "/unlisted")
	reads := idp.Token(t, issuertest.Scopes("orders:read"))
	for _, tt := range []struct {
		method, target, token string
		status                int
	}{
		{"GET", "/orders/1", reads, 200},
		{"HEAD", "/orders/1", reads, 200},
		{"GET", "/orders/1", "", 401},
		{"GET", "/orders/1", idp.Token(t), 403},
		{"GET", "/all/x/y", reads, 200},
		{"GET", "/unlisted", reads, 403},
		{"GET", "/nowhere", "", 404},
		{"POST", "/orders/1", "", 405},
	} {
		if w := get(mux, tt.method, tt.target, tt.token); w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
	}
	put := httptest.NewRequest("PUT", "/orders/1", nil)
	put.Host = "api.test"
	put.Header.Set("Authorization", "Bearer "+idp.Token(t, issuertest.Scopes("orders:write")))
	w := httptest.NewRecorder()
	if mux.ServeHTTP(w, put); w.Code != 200 {
		t.Errorf("PUT to the host of a pattern: %d", w.Code)
	}
	bare := gw.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request without a route was let in") }))
	if w := get(bare, "GET", "/all/x", reads); w.Code != 403 {
		t.Errorf("without a ServeMux: %d", w.Code)
	}
	if w := get(bare, "GET", "/all//x", reads); w.Code != 400 || !strings.Contains(w.Body.String(), `"error":"invalid_request"`) {
		t.Errorf("an ambiguous path: %d %s", w.Code, w.Body)
	}
}

func TestRefusedPathsAreReported(t *testing.T) {
	idp := issuertest.New(t)
	var events []Event
	gw := newGateway(t, Config{
		Auth: newAuth(t, idp), Policy: mustPolicy(t, ordersRules()...),
		Observe: func(_ context.Context, e Event) { events = append(events, e) },
	})
	if w := get(newOrders(gw), "GET", "/orders//1", idp.Token(t)); w.Code != 400 || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if len(events) != 1 || events[0].Reason != event.MalformedRequest || events[0].Op != event.OpRequest || events[0].Status != 400 || events[0].Err == nil {
		t.Errorf("reported %+v", events)
	}
}

func TestNewRefuses(t *testing.T) {
	idp := issuertest.New(t)
	auth, policy := newAuth(t, idp), mustPolicy(t, Rule{Route: "/", AnyToken: true})
	shadowRule := mustPolicy(t, Rule{Route: "/", AnyToken: true, Shadow: true})
	for want, c := range map[string]Config{
		"Config.Auth is nil":                {Policy: policy},
		"the policy is nil":                 {Auth: auth},
		"the policy is nil or has no rules": {Auth: auth, Policy: new(Policy)},
		"the shadow policy has no rules":    {Auth: auth, Policy: policy, Shadow: new(Policy)},
		"there is a shadow policy beside":   {Auth: auth, Policy: shadowRule, Shadow: policy},
		"Config.ShadowAuth is Config.Auth":  {Auth: auth, Policy: policy, ShadowAuth: auth},
		"Config.ReportClients is -1":        {Auth: auth, Policy: policy, ReportClients: -1},
	} {
		if gw, err := New(c); err == nil || gw != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
}

// A gateway that New did not make lets nothing in.
func TestZeroGateway(t *testing.T) {
	for _, gw := range []*Gateway{nil, {}} {
		e := echo.New()
		e.GET("/", ok, gw.Require())
		if w := get(e, "GET", "/", ""); w.Code != 500 {
			t.Errorf("Require: %d", w.Code)
		}
		for name, h := range map[string]http.Handler{
			"Handler": gw.Handler(http.NotFoundHandler()), "PolicyHandler": gw.PolicyHandler("x"), "ReportHandler": gw.ReportHandler("x"),
		} {
			if w := get(h, "GET", "/", ""); w.Code != 500 {
				t.Errorf("%s: %d", name, w.Code)
			}
		}
		if err := gw.Swap(mustPolicy(t, Rule{Route: "/", AnyToken: true}), nil); err == nil {
			t.Error("Swap worked")
		}
	}
}

// A request is decided by one policy from its start to its end, and none is dropped while
// policies are swapped.
func TestSwap(t *testing.T) {
	idp := issuertest.New(t)
	both := [2]*Policy{
		mustPolicy(t, Rule{Route: "/a", AnyToken: true}, Rule{Route: "/b", Scopes: []string{"b"}}),
		mustPolicy(t, Rule{Route: "/a", Scopes: []string{"a"}}, Rule{Route: "/b", AnyToken: true}),
	}
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: both[0]})
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/a", ok)
	e.GET("/b", ok)
	token := idp.Token(t, issuertest.Scopes("a"))
	stop := make(chan struct{})
	var swaps, senders sync.WaitGroup
	swaps.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := gw.Swap(both[i%2], both[(i+1)%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 4 {
		senders.Go(func() {
			for range 500 {
				if w := get(e, "GET", "/a", token); w.Code != 200 { // both policies permit it
					t.Errorf("/a: %d", w.Code)
				}
				if w := get(e, "GET", "/b", token); w.Code != 200 && w.Code != 403 {
					t.Errorf("/b: %d", w.Code)
				}
			}
		})
	}
	senders.Wait()
	close(stop)
	swaps.Wait()
	if err := gw.Swap(nil, nil); err == nil {
		t.Error("Swap took no policy")
	}
	if w := get(e, "GET", "/a", token); w.Code != 200 {
		t.Errorf("after a failed Swap: %d", w.Code)
	}
}

// Several issuers: a rule that names one is for its tokens alone.
func TestSeveralIssuers(t *testing.T) {
	one, two := issuertest.New(t), issuertest.New(t)
	auth, err := bearer.Any(newAuth(t, one), newAuth(t, two))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	gw := newGateway(t, Config{Auth: auth, Policy: mustPolicy(t,
		Rule{Route: "/x", Issuers: []string{one.URL()}, Scopes: []string{"x"}},
		Rule{Route: "/y", Issuers: []string{one.URL()}, AnyToken: true},
		Rule{Route: "/y", AnyToken: true, Claims: nil, Methods: []string{"PUT"}},
	)})
	e := echo.New()
	e.Use(gw.Require())
	e.Any("/x", ok)
	e.Any("/y", ok)
	ofOne, ofTwo := one.Token(t, issuertest.Audience(testAPI), issuertest.Scopes("x")), two.Token(t, issuertest.Audience(testAPI), issuertest.Scopes("x"))
	for _, tt := range []struct {
		method, target, token string
		status                int
	}{
		{"GET", "/x", ofOne, 200}, {"GET", "/x", ofTwo, 403},
		{"GET", "/y", ofOne, 200}, {"GET", "/y", ofTwo, 403},
		{"PUT", "/y", ofOne, 200}, {"PUT", "/y", ofTwo, 200},
	} {
		if w := get(e, tt.method, tt.target, tt.token); w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
	}
}

// Limits count by verified client and rule, and hold what is under way.
func TestLimitOfARule(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/slow", AnyToken: true, Limit: Limit{Concurrent: 1}})})
	e := echo.New()
	e.Use(gw.Require())
	entered, leave := make(chan struct{}), make(chan struct{})
	e.GET("/slow", func(echo.Context) error {
		entered <- struct{}{}
		<-leave
		return nil
	})
	first, other := idp.Token(t, issuertest.ClientID("first")), idp.Token(t, issuertest.ClientID("other"))
	var under sync.WaitGroup
	for _, token := range []string{first, other} {
		under.Go(func() { get(e, "GET", "/slow", token) })
		<-entered
	}
	w := get(e, "GET", "/slow", first)
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a second request of a client: %d %v", w.Code, w.Header())
	}
	close(leave)
	under.Wait()
	under.Go(func() { <-entered })
	if w := get(e, "GET", "/slow", first); w.Code != 200 {
		t.Errorf("after the first has ended: %d", w.Code)
	}
	under.Wait()
}

// Two guards of one gateway on a route count a request once.
func TestNestedGuards(t *testing.T) {
	idp := issuertest.New(t)
	policy := mustPolicy(t, Rule{Route: "/x", AnyToken: true, Limit: Limit{Concurrent: 1}}, Rule{Route: "/y", Scopes: []string{"y"}})
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: policy, Shadow: mustPolicy(t, Rule{Route: "/z", AnyToken: true})})
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/x", ok, gw.Require())
	e.GET("/y", ok, gw.Require())
	token := idp.Token(t)
	for target, want := range map[string]int{"/x": 200, "/y": 403} {
		if w := get(e, "GET", target, token); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
	if r := gw.Report(); r.Requests != 2 {
		t.Errorf("%d requests were judged", r.Requests)
	}
}

// A network that sends bad tokens is refused before its tokens are checked. A client of it
// whose token was admitted before is not.
func TestLimitOfANetwork(t *testing.T) {
	idp := issuertest.New(t)
	for _, name := range []string{"Echo", "net/http"} {
		var reasons []event.Reason
		gw := newGateway(t, Config{
			Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true}),
			Limits:  Limits{Unauthenticated: Limit{Rate: 0.001, Burst: 2}},
			Observe: func(_ context.Context, e Event) { reasons = append(reasons, e.Reason) },
		})
		var h http.Handler = newMux(gw, "/x")
		if name == "Echo" {
			e := echo.New()
			e.Use(gw.Require())
			e.GET("/x", ok)
			h = e
		}
		good, late := idp.Token(t), idp.Token(t, issuertest.ClientID("late"))
		for i, tt := range []struct {
			target, token string
			status        int
		}{
			{"/x", good, 200}, {"/x", good, 200}, {"/x", good, 200},
			{"/nowhere", "", 404}, {"/nowhere", "", 404}, {"/nowhere", "", 404}, // no token was asked for
			{"/x", "", 401}, {"/x", idp.Token(t, issuertest.Bad("forged")), 401},
			{"/x", "", 429}, {"/x", late, 429},
			{"/x", good, 200},
		} {
			if w := get(h, "GET", tt.target, tt.token); w.Code != tt.status || w.Code == 429 && w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: request %d: %d %v, want %d", name, i+1, w.Code, w.Header(), tt.status)
			}
		}
		if len(reasons) != 2 || reasons[0] != event.Busy {
			t.Errorf("%s: reported %q", name, reasons)
		}
	}
}

// Echo's Proxy as middleware of a group is behind the gateway for every path and method.
func TestProxyOfAGroup(t *testing.T) {
	idp := issuertest.New(t)
	var got []string
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Method+" "+r.RequestURI) }))
	t.Cleanup(upstream.Close)
	to, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/orders/*", Methods: []string{"GET"}, Scopes: []string{"orders"}})})
	e := echo.New()
	e.Group("/orders", gw.Require(), echomw.ProxyWithConfig(echomw.ProxyConfig{
		Balancer: echomw.NewRoundRobinBalancer([]*echomw.ProxyTarget{{URL: to}}), Transport: transport,
	}))
	token := idp.Token(t, issuertest.Scopes("orders"))
	for _, tt := range []struct {
		method, target, token string
		status                int
	}{
		{"GET", "/orders/1?x=%2F", token, 200}, {"HEAD", "/orders/1", token, 200}, {"POST", "/orders/1", token, 403}, {"OPTIONS", "/orders/1", token, 403},
		{"GET", "/orders/1", "", 401}, {"GET", "/orders/1", idp.Token(t), 403}, {"GET", "/orders", token, 403}, {"GET", "/orders/../x", token, 400}, {"GET", "/x", "", 404},
	} {
		if w := get(e, tt.method, tt.target, tt.token); w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
	}
	if want := []string{"GET /orders/1?x=%2F", "HEAD /orders/1"}; !slices.Equal(got, want) {
		t.Errorf("the upstream got %q, want %q", got, want)
	}
}

// A gateway behind another one decides for itself.
func TestGatewayBehindAGateway(t *testing.T) {
	idp := issuertest.New(t)
	auth := newAuth(t, idp)
	outer := newGateway(t, Config{Auth: auth, Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true})})
	inner := newGateway(t, Config{Auth: auth, Policy: mustPolicy(t, Rule{Route: "/x", Scopes: []string{"admin"}})})
	e := echo.New()
	e.Use(outer.Require(), inner.Require())
	e.GET("/x", ok)
	mux := http.NewServeMux()
	mux.Handle("/x", outer.Handler(inner.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))))
	for name, h := range map[string]http.Handler{"Echo": e, "net/http": mux} {
		for scope, want := range map[string]int{"orders:read": 403, "admin": 200} {
			if w := get(h, "GET", "/x", idp.Token(t, issuertest.Scopes(scope))); w.Code != want {
				t.Errorf("%s: %s: %d, want %d", name, scope, w.Code, want)
			}
		}
	}
}
