package middleware

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// countingKeys counts the calls of a key source: the network of a real one.
type countingKeys struct {
	jwks.Source
	calls int
}

func (c *countingKeys) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	c.calls++
	return c.Source.Key(ctx, kid, alg)
}

// oneID gives keys under a kid that both issuers use.
type oneID struct{ key *jose.Key }

func (o oneID) Key(_ context.Context, kid, _ string) (*jose.Key, error) {
	if kid != "1" {
		return nil, jwks.ErrUnknownKey
	}
	return o.key, nil
}

// twoIssuers are the Bearers of two issuers whose key ids, client ids and token ids are
// the same, and the API that trusts both.
type twoIssuers struct {
	*api
	a, b   *Bearer
	events map[string][]Event // by issuer
	cutOff string             // the issuer whose client is cut off
}

const issuerA, issuerB = "https://a.example.com", "https://b.example.com"

func newTwoIssuers(tb testing.TB, cache int) *twoIssuers {
	tb.Helper()
	two := &twoIssuers{events: map[string][]Event{}}
	bearerOf := func(issuer string) *Bearer {
		var key *jose.Key
		var err error
		if issuer == issuerA {
			key, err = jose.NewKey(ecKey.Public(), "", "1")
		} else {
			key, err = jose.NewKey(strangeKey.Public(), "", "1")
		}
		if err != nil {
			tb.Fatal(err)
		}
		b, err := New(Config{
			Issuer: issuer, Audience: testAudience, Keys: oneID{key}, CacheSize: cache, Realm: issuer,
			Revoked: func(context.Context, string, string, time.Time) (bool, error) { return two.cutOff == issuer, nil },
			Observe: func(_ context.Context, e Event) { two.events[issuer] = append(two.events[issuer], e) },
		})
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	two.a, two.b = bearerOf(issuerA), bearerOf(issuerB)
	both, err := Any(two.a, two.b)
	if err != nil {
		tb.Fatal(err)
	}
	two.api = (&api{Echo: echo.New()}).guardedBy(both)
	group := two.Group("/nested", both.Require())
	group.GET("/a", two.serve, two.a.Require())
	group.GET("/both", two.serve, both.Require("orders:read"))
	two.Group("/inner", two.a.Require()).GET("/both", two.serve, both.Require())
	return two
}

// token is one of an issuer, signed by a's or b's key.
func (two *twoIssuers) token(tb testing.TB, issuer string, byA bool, changes map[string]string) string {
	tb.Helper()
	all := map[string]string{"iss": strconv.Quote(issuer)}
	maps.Copy(all, changes)
	key := strangeKey
	if byA {
		key = ecKey
	}
	return forge(tb, `{"alg":"ES256","typ":"at+jwt","kid":"1"}`, payload(all), key)
}

// Two issuers with the same kid, client id and jti never cross: not by key, cache or
// revocation, not in nested guards, and not in a judgement or an explanation.
func TestAnyNeverCrosses(t *testing.T) {
	t.Parallel()
	for _, cache := range []int{0, -1} {
		two := newTwoIssuers(t, cache)
		a, b := two.token(t, issuerA, true, nil), two.token(t, issuerB, false, nil)
		for range 4 { // the first two fill the caches
			for issuer, token := range map[string]string{issuerA: a, issuerB: b} {
				if got := two.wantServed(t, token); got.Issuer != issuer || got.ClientID != "app1" {
					t.Fatalf("a token of %s is of %s", issuer, got.Issuer)
				}
				for path, want := range map[string]int{"/nested/both": 200, "/nested/a": 200, "/inner/both": 200} {
					if issuer == issuerB && path != "/nested/both" {
						want = 401 // the guard of the other issuer is there too
					}
					if w := two.get(path, "Bearer "+token); w.Code != want {
						t.Errorf("cache %d: a token of %s at %s: %d, want %d", cache, issuer, path, w.Code, want)
					}
				}
				if judged, e := two.auth.Judge(request("GET", "/", "Bearer "+token)); e != nil || judged.Issuer != issuer {
					t.Errorf("a token of %s is judged %v", issuer, e)
				}
				if x := two.auth.Explain(t.Context(), token); !x.Valid || x.Issuer != issuer {
					t.Errorf("a token of %s is explained as\n%s", issuer, x)
				}
			}
			for name, token := range map[string]string{"of a by b": two.token(t, issuerA, false, nil), "of b by a": two.token(t, issuerB, true, nil)} {
				two.wantRefusedBy(t, name, token, event.BadSignature)
			}
		}
		two.cutOff = issuerA
		two.wantServed(t, b)
		two.wantRefusedBy(t, "of a, cut off", a, event.Revoked)
		two.cutOff = issuerB
		two.wantServed(t, a)
		two.wantRefusedBy(t, "of b, cut off", b, event.Revoked)
	}
}

// wantRefusedBy wants a 401 with this reason from guard, judgement and explanation.
func (two *twoIssuers) wantRefusedBy(t *testing.T, name, token string, reason event.Reason) {
	t.Helper()
	if w := two.get("/", "Bearer "+token); w.Code != http.StatusUnauthorized {
		t.Errorf("%s: status %d", name, w.Code)
	}
	if _, e := two.auth.Judge(request("GET", "/", "Bearer "+token)); e.Reason() != reason {
		t.Errorf("%s: judged %q", name, e.Reason())
	}
	x := two.auth.Explain(t.Context(), token)
	if i := slices.IndexFunc(x.Checks, func(c Check) bool { return c.Result == "failed" }); x.Valid || i < 0 || x.Checks[i].Reason != reason {
		t.Errorf("%s: explained as\n%s", name, x)
	}
}

// The token of an issuer that no member is for asks for no key.
func TestAnyUnknownIssuer(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	a, b := &countingKeys{Source: keys}, &countingKeys{Source: keys}
	first := newAPI(t, Config{Issuer: issuerA, Keys: a})
	second := newAPI(t, Config{Issuer: issuerB, Keys: b})
	both, err := Any(first.auth, second.auth)
	if err != nil {
		t.Fatal(err)
	}
	first.guardedBy(both)
	for name, tt := range map[string]struct {
		iss    string
		reason event.Reason
	}{
		"unknown":            {`"https://evil.example.com"`, event.WrongIssuer},
		"a slash more":       {`"https://a.example.com/"`, event.WrongIssuer},
		"missing":            {"", event.InvalidClaims},
		"empty":              {`""`, event.InvalidClaims},
		"an array":           {`["https://a.example.com"]`, event.InvalidClaims},
		"twice":              {`"https://a.example.com","iss":"https://b.example.com"`, event.InvalidClaims},
		"escaped, and twice": {`"https://a.example.com","is\u0073":"https://b.example.com"`, event.InvalidClaims},
	} {
		token := sign(t, keys, payload(map[string]string{"iss": tt.iss}))
		first.wantInvalid(t, token, "")
		if last := first.events[len(first.events)-1]; last.Reason != tt.reason || last.ClientID != "" {
			t.Errorf("%s: reported as %+v", name, last)
		}
	}
	for _, token := range []string{"", "x", "a.b.c", strings.Repeat("a", 20<<10), goodToken(t, keys) + ",x"} {
		if w := first.get("/", "Bearer "+token); w.Code != http.StatusUnauthorized && w.Code != http.StatusBadRequest {
			t.Errorf("%.20q: status %d", token, w.Code)
		}
	}
	if a.calls+b.calls > 0 {
		t.Errorf("%d calls for keys", a.calls+b.calls)
	}
	if w := second.guardedBy(both).get("/", "Bearer "+sign(t, keys, payload(map[string]string{"iss": strconv.Quote(issuerB)}))); w.Code != http.StatusOK || a.calls > 0 || b.calls != 1 {
		t.Errorf("status %d, %d and %d calls", w.Code, a.calls, b.calls)
	}
}

// What is wrong is answered and reported as the member that the token is for does, and a
// request is reported once.
func TestAnyAnswers(t *testing.T) {
	t.Parallel()
	two := newTwoIssuers(t, 0)
	expired := two.token(t, issuerB, false, map[string]string{"exp": "1"})
	if w := two.get("/", "Bearer "+expired); w.Header().Get("WWW-Authenticate") != `Bearer realm="`+issuerB+`", error="invalid_token", error_description="the access token is not valid"` {
		t.Errorf("challenge %q", w.Header().Get("WWW-Authenticate"))
	}
	if w := two.get("/"); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != `Bearer realm="`+issuerA+`"` {
		t.Errorf("without a token: %d, %q", w.Code, w.Header().Get("WWW-Authenticate"))
	}
	if w := two.get("/nested/both", "Bearer "+two.token(t, issuerB, false, map[string]string{"scope": `"x"`})); w.Code != http.StatusForbidden {
		t.Errorf("without the scope: %d", w.Code)
	}
	if w := two.get("/nested/both", "Bearer "+two.token(t, issuerB, false, nil)); w.Code != http.StatusOK {
		t.Errorf("nested: %d", w.Code)
	}
	var reasons []event.Reason
	for _, e := range two.events[issuerB] {
		reasons = append(reasons, e.Reason)
	}
	if want := []event.Reason{event.Expired, event.InsufficientScope, ""}; !slices.Equal(reasons, want) {
		t.Errorf("b heard %q, want %q", reasons, want)
	}
	if heard := two.events[issuerA]; len(heard) != 1 || heard[0].Reason != event.NoToken {
		t.Errorf("a heard %v", heard)
	}
}

// All guards work, and all forms of bound tokens with them.
func TestAnyGuards(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	h := newHolder(t, keys)
	plain := newAPI(t, Config{Issuer: issuerA, Keys: keys})
	bound := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, RequireBound: true})
	auth, err := Any(plain.auth, bound.auth)
	if err != nil {
		t.Fatal(err)
	}
	served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, TokenFromContext(r.Context()).Issuer)
	})
	inEcho := func(m ...echo.MiddlewareFunc) http.Handler {
		e := echo.New()
		e.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, TokenFrom(c).Issuer) }, m...)
		return e
	}
	ofA := "Bearer " + sign(t, keys, payload(map[string]string{"iss": strconv.Quote(issuerA)}))
	for name, g := range map[string]struct {
		http.Handler
		bound bool // bound tokens alone
	}{
		"Require":         {inEcho(auth.Require("orders:read")), false},
		"RequireAny":      {inEcho(auth.RequireAny("orders:read", "x")), false},
		"RequireFunc":     {inEcho(auth.RequireFunc(func(echo.Context, *Token) error { return nil })), false},
		"RequireBound":    {inEcho(auth.RequireBound("orders:read")), true},
		"Optional":        {inEcho(auth.Optional("orders:read")), false},
		"Handler":         {auth.Handler(served, "orders:read"), false},
		"HandlerAny":      {auth.HandlerAny(served, "orders:read", "x"), false},
		"HandlerFunc":     {auth.HandlerFunc(served, func(*http.Request, *Token) error { return nil }), false},
		"HandlerBound":    {auth.HandlerBound(served, "orders:read"), true},
		"HandlerOptional": {auth.HandlerOptional(served, "orders:read"), false},
		"two guards":      {inEcho(auth.Require(), bound.auth.RequireBound(), auth.RequireBound()), true},
		"net/http inside": {auth.Handler(bound.auth.Handler(auth.HandlerBound(served)), "orders:read"), true},
		"Echo inside":     {auth.Handler(inEcho(auth.Require("orders:read"))), false},
	} {
		r := h.request(t, "GET", "/")
		if w := send(g, r); w.Code != http.StatusOK || w.Body.String() != testIssuer {
			t.Errorf("%s: a bound token: %d %s", name, w.Code, w.Body)
		}
		if w := send(g, r); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: a proof that was used: %d", name, w.Code)
		}
		if w := ask(g, "GET", "/", "Bearer "+goodToken(t, keys)); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: a plain token of the member with RequireBound: %d", name, w.Code)
		}
		if w := ask(g, "GET", "/", ofA); (w.Code == http.StatusOK) == g.bound {
			t.Errorf("%s: a plain token of the other: %d", name, w.Code)
		}
		if w := ask(g, "GET", "/", "DPoP "+strings.TrimPrefix(ofA, "Bearer ")); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: the scheme DPoP for the other: %d", name, w.Code)
		}
	}
}

func TestAnyRefuses(t *testing.T) {
	t.Parallel()
	two := newTwoIssuers(t, 0)
	third := newAPI(t, Config{Keys: newKeyring(t, ecKey)}).auth
	tenants, err := AnyTenant(Tenants{Bearer: func(context.Context, string) (*Bearer, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	resource, err := New(Config{Issuer: "https://c.example.com", Audience: testAudience, Keys: newKeyring(t, ecKey), Resource: &Resource{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]*Bearer{
		"none": nil, "nil": {two.a, nil}, "zero": {{}}, "one twice": {two.a, two.b, two.a}, "one twice, nested": {two.auth, two.b},
		"two of tenants": {tenants, tenants}, "metadata of one": {third, resource},
	} {
		if b, err := Any(list...); err == nil || b != nil {
			t.Errorf("%s: no error", name)
		}
	}
	flat, err := Any(two.auth, third, tenants)
	if err != nil {
		t.Fatal(err)
	}
	if members := flat.Status().Members; len(members) != 3 || members[2].Issuer != testIssuer {
		t.Errorf("the members are %+v", members)
	}
	if err := errors.Join(flat.Close(), flat.Close()); err != nil {
		t.Error(err)
	}
}

// Ready is a jwks.ErrUnavailable only if no token of any member can be checked.
func TestAnyReady(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	bad := sourceFunc(func(context.Context, string) (*jose.Key, error) { return nil, down })
	a := newAPI(t, Config{Issuer: issuerA, Keys: bad})
	b := newAPI(t, Config{Issuer: issuerB, Keys: newKeyring(t, ecKey)})
	both, err := Any(a.auth, b.auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := both.Ready(t.Context()); err != nil {
		t.Errorf("before any request: %v", err)
	}
	token := "Bearer " + sign(t, newKeyring(t, ecKey), payload(map[string]string{"iss": strconv.Quote(issuerA)}))
	if w := a.guardedBy(both).get("/", token); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
	if err := both.Ready(t.Context()); err == nil || errors.Is(err, jwks.ErrUnavailable) || !strings.Contains(err.Error(), issuerA) {
		t.Errorf("one is down: %v", err)
	}
	alone, err := Any(newAPI(t, Config{Keys: bad}).auth)
	if err != nil {
		t.Fatal(err)
	}
	a.guardedBy(alone).get("/", "Bearer "+goodToken(t, newKeyring(t, ecKey)))
	if err := alone.Ready(t.Context()); !errors.Is(err, jwks.ErrUnavailable) {
		t.Errorf("all are down: %v", err)
	}
	if s := both.Status(); s.Keys == nil || len(s.Members) != 2 || s.Members[0].Issuer != issuerA || s.Members[0].Keys == nil || s.Members[1].Keys != nil {
		t.Errorf("status %+v", s)
	}
}

// FuzzAny: whatever a token says, the member that is chosen is the one whose own check
// may accept it, and no other accepts it.
func FuzzAny(f *testing.F) {
	keys := newKeyring(f, ecKey)
	foreign := profile.Keycloak()
	foreign.Types = []string{"at+jwt"}
	foreign.Require = nil
	var list []*Bearer
	for _, c := range []Config{{Issuer: issuerA}, {Issuer: issuerB}, {Issuer: issuerA + "/", Profile: &foreign}, {Issuer: "A"}} {
		c.Audience, c.Keys, c.CacheSize = testAudience, keys, -1
		b, err := New(c)
		if err != nil {
			f.Fatal(err)
		}
		list = append(list, b)
	}
	all, err := Any(list...)
	if err != nil {
		f.Fatal(err)
	}
	for _, iss := range []string{`"` + issuerA + `"`, `"` + issuerB + `"`, `"` + issuerA + `/"`, `"\u0041"`, `"A","iss":"B"`, `"A","ISS":"B"`, `null`, `["A"]`, `""`, `"A "`} {
		f.Add(payload(map[string]string{"iss": iss, "azp": `"app1"`}))
	}
	f.Add(`{}`)
	f.Add(`{"iss":{"iss":"A"},"iss":"A"}`)
	f.Fuzz(func(t *testing.T, claims string) {
		if claims == "" || len(claims) > 8<<10 {
			return
		}
		token := sign(t, keys, claims)
		r := request("GET", "/", "Bearer "+token)
		chosen, e := all.members.choose(caller{bearer: all, request: r}, nil)
		if (chosen.Bearer == nil) != (e != nil) {
			t.Fatalf("%q: chosen %v, %v", claims, chosen.Bearer, e)
		}
		for _, b := range list {
			v, e := b.verify(caller{bearer: b, request: r}, token)
			switch {
			case e == nil && b != chosen.Bearer:
				t.Fatalf("%q: %s accepts it, and was not chosen", claims, b.issuer)
			case e == nil && v.token().Issuer != b.issuer:
				t.Fatalf("%q: of %s", claims, v.token().Issuer)
			case e != nil && b == chosen.Bearer && e.reason == event.WrongIssuer:
				t.Fatalf("%q: %s was chosen, and it is of another issuer: %v", claims, b.issuer, e.cause)
			}
		}
	})
}

// If the credential of a request changes between two guards, the inner one chooses anew.
func TestAnyOfAnotherCredential(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	a, b := newAPI(t, Config{Issuer: issuerA, Keys: keys}).auth, newAPI(t, Config{Issuer: issuerB, Keys: keys}).auth
	auth, err := Any(a, b)
	if err != nil {
		t.Fatal(err)
	}
	of := func(issuer string) string {
		return "Bearer " + sign(t, keys, payload(map[string]string{"iss": strconv.Quote(issuer)}))
	}
	inner := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, TokenFromContext(r.Context()).Issuer)
	}))
	for changed, want := range map[string]string{of(issuerB): issuerB, of(issuerA): issuerA, of("https://evil.example.com"): ""} {
		outer := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Authorization", changed)
			inner.ServeHTTP(w, r)
		}))
		if w := ask(outer, "GET", "/", of(issuerA)); (w.Code == http.StatusOK) != (want != "") || want != "" && w.Body.String() != want {
			t.Errorf("want %q: %d %s", want, w.Code, w.Body)
		}
	}
}
