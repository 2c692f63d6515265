package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/jwks/pop"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func newProver(t *testing.T) *pop.Prover {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prover, err := pop.NewProver(private, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	return prover
}

// A shadow uses up nothing that a later answer depends on: no proof, no request of a
// client's limit, and none of a network's. A replay, and the first request over each limit,
// are refused as without it.
func TestShadowUsesNothingUp(t *testing.T) {
	idp := issuertest.New(t)
	prover := newProver(t)
	bound := idp.Token(t, issuertest.Audience(testAPI), issuertest.Bound(prover))
	plain := idp.Token(t, issuertest.Audience(testAPI))
	// Bearers of one API share its replays, which makes a proof that a shadow uses up visible.
	var used sync.Map
	proofs := func(c *bearer.Config) {
		c.DPoP = &bearer.DPoP{BaseURL: testAPI, Proofs: pop.Config{Replay: func(_ context.Context, scope, id string, _ time.Time) (bool, error) {
			_, before := used.LoadOrStore(scope+" "+id, true)
			return !before, nil
		}}}
	}
	rules := []Rule{{Route: "/a", AnyToken: true, Limit: Limit{Rate: 0.0001, Burst: 4}}, {Route: "/b", AnyToken: true}}
	statuses := func(t *testing.T, c Config) (all []int) {
		t.Helper()
		c.Auth = newAuth(t, idp, proofs)
		c.Limits = Limits{Client: Limit{Rate: 0.0001, Burst: 6}, Unauthenticated: Limit{Rate: 0.0001, Burst: 3}}
		gw := newGateway(t, c)
		e := echo.New()
		e.Use(gw.Require())
		e.Any("/a", ok)
		e.Any("/b", ok)
		send := func(target, authorization, proof string) {
			r := httptest.NewRequest("GET", target, nil)
			r.Header.Set("Authorization", authorization)
			if proof != "" {
				r.Header.Set("DPoP", proof)
			}
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			all = append(all, w.Code)
			settle(t, gw) // the shadow has judged this one before the next is sent
		}
		for _, target := range []string{"/a", "/b"} {
			proof, err := prover.Proof("GET", testAPI+target, bound, "")
			if err != nil {
				t.Fatal(err)
			}
			send(target, "DPoP "+bound, proof)
			for range 5 {
				send(target, "Bearer "+plain, "")
			}
			send(target, "DPoP "+bound, proof) // a replay
		}
		for _, authorization := range []string{"", "Bearer x", "Basic eDp5", "Bearer x", "Bearer " + plain} {
			send("/b", authorization, "")
		}
		for _, o := range gw.Report().WouldRefuse {
			if o.Changed > 0 { // a proof that the shadow finds used, or a limit that it counts
				t.Errorf("the shadow would refuse %+v", o)
			}
		}
		return all
	}
	want := statuses(t, Config{Policy: mustPolicy(t, rules...)})
	if text := []int{200, 200, 200, 200, 429, 429, 401, 200, 200, 200, 200, 200, 200, 401, 401, 429, 429, 429, 429}; !slices.Equal(want, text) {
		t.Fatalf("without a shadow the answers are\n%v, want\n%v", want, text)
	}
	limited := func(shadow bool) []Rule {
		return []Rule{
			{Route: "/a", AnyToken: true, Limit: Limit{Rate: 0.0001, Burst: 1}, Shadow: shadow},
			{Route: "/b", AnyToken: true, Limit: Limit{Rate: 0.0001, Burst: 1}, Shadow: shadow},
		}
	}
	for name, c := range map[string]Config{
		"rules":                  {Policy: mustPolicy(t, slices.Concat(rules, limited(true))...)},
		"a policy":               {Policy: mustPolicy(t, rules...), Shadow: mustPolicy(t, limited(false)...)},
		"a Bearer":               {Policy: mustPolicy(t, rules...), ShadowAuth: newAuth(t, idp, proofs)},
		"a Bearer, and a policy": {Policy: mustPolicy(t, rules...), ShadowAuth: newAuth(t, idp, proofs), Shadow: mustPolicy(t, limited(false)...)},
	} {
		t.Run(strings.ReplaceAll(name, ",", ""), func(t *testing.T) {
			if got := statuses(t, c); !slices.Equal(got, want) {
				t.Errorf("the answers are\n%v, without the shadow\n%v", got, want)
			}
		})
	}
}

// A Bearer in shadow judges the request as it came: what the handler changes in it, and the
// end of the request, make no difference.
func TestShadowAuthJudgesTheRequestAsItCame(t *testing.T) {
	idp := issuertest.New(t)
	prover := newProver(t)
	bound := idp.Token(t, issuertest.Audience(testAPI), issuertest.Bound(prover))
	ended := make(chan struct{})
	withDPoP := func(c *bearer.Config) { c.DPoP = &bearer.DPoP{BaseURL: testAPI} }
	gw := newGateway(t, Config{
		Auth: newAuth(t, idp, withDPoP), Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true}),
		ShadowAuth: newAuth(t, idp, withDPoP, func(c *bearer.Config) {
			c.Revoked = func(ctx context.Context, _, _ string, _ time.Time) (bool, error) {
				<-ended // the proof is read after this
				return false, ctx.Err()
			}
		}),
	})
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/x", func(c echo.Context) error {
		clear(c.Request().Header)
		return ok(c)
	})
	proof, err := prover.Proof("GET", testAPI+"/x", bound, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest("GET", "/x", nil).WithContext(ctx)
	r.Header.Set("Authorization", "DPoP "+bound)
	r.Header.Set("DPoP", proof)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	cancel()
	close(ended)
	settle(t, gw)
	if report := gw.Report(); w.Code != 200 || report.Requests != 1 || report.Skipped != 0 || len(report.WouldRefuse) > 0 {
		t.Errorf("%d; the report is\n%s", w.Code, report)
	}
}
