package gateway

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// recorded is one request of the traffic that is replayed.
type recorded struct{ method, target, credential string }

// traffic is n requests, a third of them hostile: bad tokens, no tokens, ambiguous paths,
// unknown routes. The same seed gives the same requests.
func traffic(t *testing.T, idp *issuertest.Issuer, n int) []recorded {
	t.Helper()
	var good, bad []string
	lasting := issuertest.Lifetime(12 * time.Hour)
	for i := range 60 {
		var scopes []string
		for bit, scope := range []string{"orders:read", "orders:write", "reports", "admin"} {
			if i>>bit&1 == 1 {
				scopes = append(scopes, scope)
			}
		}
		good = append(good, "Bearer "+idp.Token(t, issuertest.Audience(testAPI), issuertest.ClientID(fmt.Sprintf("client-%d", i%25)),
			issuertest.Scopes(scopes...), issuertest.Claim("tier", i%4), lasting))
	}
	// A token that becomes valid in minutes could do so between the two replays.
	bad = append(bad, "Bearer "+idp.Token(t, issuertest.Audience(testAPI), lasting, issuertest.Claim("nbf", time.Now().Add(24*time.Hour).Unix())))
	for _, fault := range issuertest.Faults() {
		token := idp.Token(t, issuertest.Audience(testAPI), lasting, issuertest.Bad(fault.Name))
		if fault.Reason != event.NotYetValid && len(token) < 16<<10 { // the larger ones would make this a test of memory
			bad = append(bad, "Bearer "+token)
		}
	}
	bad = append(bad, "", "Bearer", "Basic eDp5", good[0]+", "+good[1])
	targets := []string{"/orders/1", "/orders/2", "/orders/1/items", "/reports/a", "/admin", "/unlisted", "/ping"}
	hostile := []string{"/orders//1", "/orders/%2e%2e/admin", "/orders/1;x", "/admin/%2Fx", "/nowhere", "/%61dmin", `/a\b`}
	methods := []string{"GET", "GET", "GET", "PUT", "DELETE", "HEAD", "OPTIONS"}
	random := rand.New(rand.NewPCG(15, 15))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	all := make([]recorded, n)
	for i := range all {
		r := recorded{pick(methods), pick(targets), pick(good)}
		if i%3 == 0 {
			if random.IntN(4) == 0 {
				r.target = pick(hostile)
			} else {
				r.credential = pick(bad)
			}
		}
		all[i] = r
	}
	return all
}

// number finds the number of a recorded request in its context.
type number struct{}

// answer is what became of a recorded request.
type answer struct {
	status int
	reason event.Reason
	ofPath bool // the gateway refused the path
}

// replay sends all requests through a gateway, and returns the answer to each.
func replay(t *testing.T, idp *issuertest.Issuer, all []recorded, c Config, inEcho bool, configure func(*bearer.Config)) ([]answer, *Gateway) {
	t.Helper()
	answers := make([]answer, len(all))
	observe := func(ctx context.Context, e bearer.Event) {
		if i, ok := ctx.Value(number{}).(int); ok {
			answers[i].reason = e.Reason
		}
	}
	c.Observe = func(ctx context.Context, e bearer.Event) {
		observe(ctx, e)
		if i, ok := ctx.Value(number{}).(int); ok {
			answers[i].ofPath = true
		}
	}
	c.Auth = newAuth(t, idp, func(c *bearer.Config) {
		c.Observe = observe
		if configure != nil {
			configure(c)
		}
	})
	gw := newGateway(t, c)
	routes := []string{"/orders/:id", "/orders/:id/items", "/reports/*", "/admin", "/unlisted", "/ping"}
	var handler http.Handler
	if inEcho {
		e := echo.New()
		e.Use(gw.Require())
		for _, route := range routes {
			e.Any(route, ok)
		}
		handler = e
	} else {
		for i, route := range routes {
			routes[i] = strings.ReplaceAll(strings.ReplaceAll(route, ":id", "{id}"), "*", "{rest...}")
		}
		handler = newMux(gw, routes...)
	}
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for i := sender; i < len(all); i += 4 {
				r := httptest.NewRequest(all[i].method, all[i].target, nil)
				r = r.WithContext(context.WithValue(r.Context(), number{}, i))
				if all[i].credential != "" {
					r.Header.Set("Authorization", all[i].credential)
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				answers[i].status = w.Code
				if i/4%50 == 0 && c.ShadowAuth != nil { // so at most 4 × 50 of the 256 slots are in use
					settle(t, gw)
				}
			}
		})
	}
	senders.Wait()
	settle(t, gw)
	return answers, gw
}

// nextRules are those of the policy to come.
func nextRules(inEcho bool) []Rule {
	rules := []Rule{
		{Route: "/orders/:id", Methods: []string{"GET"}, Scopes: []string{"orders:read"}},
		{Route: "/orders/:id", Scopes: []string{"orders:read", "orders:write"}},
		{Route: "/orders/:id/items", Methods: []string{"GET", "PUT"}, AnyScopes: []string{"orders:write", "admin"}},
		{Route: "/reports/*", Claims: []Claim{{Name: "tier", Is: 2}}, Scopes: []string{"reports"}},
		{Route: "/admin", Scopes: []string{"admin"}},
		{Route: "/ping", AnyToken: true},
	}
	return spelled(rules, inEcho)
}

func spelled(rules []Rule, inEcho bool) []Rule {
	if !inEcho {
		for i := range rules {
			rules[i].Route = strings.ReplaceAll(strings.ReplaceAll(rules[i].Route, ":id", "{id}"), "*", "{rest...}")
		}
	}
	return rules
}

// ruleOf names the rule that decides on a recorded request with a valid token, by reading
// the rules in the plainest way.
func ruleOf(rules []Rule, r recorded, inEcho bool) string {
	route := map[string]string{
		"/orders/1": "/orders/:id", "/orders/2": "/orders/:id", "/orders/1/items": "/orders/:id/items",
		"/reports/a": "/reports/*", "/admin": "/admin", "/ping": "/ping",
	}[r.target]
	route = spelled([]Rule{{Route: route}}, inEcho)[0].Route
	method := r.method
	if method == "HEAD" {
		method = "GET"
	}
	for _, rule := range rules {
		if rule.Route == route && (rule.Methods == nil || slices.Contains(rule.Methods, method)) {
			return strings.TrimSpace(strings.Join(append([]string{strings.Join(rule.Methods, ",")}, rule.Route), " "))
		}
	}
	return ""
}

// rehearse replays traffic with a policy and a Bearer in shadow, then with both in force,
// and holds the report of the first against the refusals of the second.
func rehearse(t *testing.T, n int, inEcho, withAuth bool) {
	idp := issuertest.New(t)
	all := traffic(t, idp, n)
	banned := func(c *bearer.Config) {
		revoked := c.Revoked
		c.Revoked = func(ctx context.Context, id, clientID string, issued time.Time) (bool, error) {
			if clientID == "client-7" {
				return true, nil
			}
			return revoked(ctx, id, clientID, issued)
		}
	}
	next := nextRules(inEcho)
	now := Config{
		Policy: mustPolicy(t, spelled([]Rule{
			{Route: "/orders/:id", AnyToken: true}, {Route: "/orders/:id/items", Scopes: []string{"orders:read"}},
			{Route: "/reports/*", AnyToken: true}, {Route: "/admin", AnyScopes: []string{"admin", "reports"}}, {Route: "/unlisted", AnyToken: true}, {Route: "/ping", AnyToken: true},
		}, inEcho)...),
		Shadow: mustPolicy(t, next...),
	}
	then := Config{Policy: mustPolicy(t, next...)}
	var shadowAuth func(*bearer.Config)
	if withAuth {
		shadowAuth = banned
		now.ShadowAuth = newAuth(t, idp, banned)
	}
	before, gw := replay(t, idp, all, now, inEcho, nil)
	after, _ := replay(t, idp, all, then, inEcho, shadowAuth)

	type key struct {
		rule   string
		reason event.Reason
	}
	type counts struct{ requests, changed uint64 }
	want := map[key]counts{}
	judged, hostile := uint64(0), 0
	for i, a := range after {
		if a.status != 200 && i%3 == 0 {
			hostile++
		}
		if a.status == 404 || a.status == 307 || a.ofPath {
			continue // no decision of a token or a policy
		}
		judged++
		if a.status == 200 {
			continue
		}
		k := key{reason: a.reason}
		if a.reason == event.InsufficientScope || a.reason == event.Forbidden {
			k.rule = ruleOf(next, all[i], inEcho)
		}
		c := want[k]
		c.requests++
		if before[i].status == 200 {
			c.changed++
		}
		want[k] = c
	}
	report := gw.Report()
	got := map[key]counts{}
	for _, o := range report.WouldRefuse {
		got[key{strings.TrimPrefix(o.Rule, "* "), o.Reason}] = counts{o.Requests, o.Changed}
		sum := o.Others
		for _, c := range o.Clients {
			sum += c.Requests
		}
		if sum != o.Changed {
			t.Errorf("%s %s: the clients have %d requests, and %d would change", o.Rule, o.Reason, sum, o.Changed)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the report says\n%v\nenforcing refused\n%v", got, want)
	}
	allowed := uint64(0)
	for i, a := range after {
		if a.status == 200 && before[i].status != 200 {
			allowed++
		}
	}
	for _, o := range report.WouldAllow {
		allowed -= o.Requests
	}
	if allowed != 0 {
		t.Errorf("the report of what would be let in is %d off", int64(allowed))
	}
	if report.Requests != judged || report.Skipped != 0 {
		t.Errorf("%d requests were judged and %d skipped, want %d", report.Requests, report.Skipped, judged)
	}
	if len(want) < 15 || hostile < n/4 {
		t.Errorf("%d kinds of refusals, %d of %d requests hostile and refused: the test has lost its subject", len(want), hostile, n)
	}
	t.Logf("%d requests, %d judged, %d kinds of refusals, %d of hostile requests refused", n, judged, len(want), hostile)
}

// What the report of a shadow says is what enforcing then refuses.
func TestReportIsExact(t *testing.T) {
	for _, inEcho := range []bool{true, false} {
		for _, withAuth := range []bool{true, false} {
			t.Run(fmt.Sprintf("Echo %v, a Bearer in shadow %v", inEcho, withAuth), func(t *testing.T) { rehearse(t, 3000, inEcho, withAuth) })
		}
	}
}
