package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// settle waits until nothing is being judged.
func settle(tb testing.TB, gw *Gateway) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); gw.Report().Pending > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%d requests are still being judged", gw.Report().Pending)
		}
	}
}

// lines writes the outcomes of a report, one a line.
func lines(all []Outcome) (written []string) {
	for _, o := range all {
		line := fmt.Sprintf("%s %s %d/%d", o.Rule, o.Reason, o.Changed, o.Requests)
		for _, c := range o.Clients {
			line += fmt.Sprintf(" %s:%d", c.ClientID, c.Requests)
		}
		if o.Others > 0 {
			line += fmt.Sprintf(" others:%d", o.Others)
		}
		written = append(written, line)
	}
	return written
}

func wantLines(t *testing.T, what string, all []Outcome, want ...string) {
	t.Helper()
	if got := lines(all); !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A shadow rule decides nothing, and the report says what it would do.
func TestShadowRule(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), ReportClients: 2, Policy: mustPolicy(t,
		Rule{Route: "/orders/:id", AnyToken: true},
		Rule{Route: "/orders/:id", Methods: []string{"PUT"}, Scopes: []string{"orders:write"}, Shadow: true},
		Rule{Route: "/new", AnyToken: true, Shadow: true},
		Rule{Route: "/ping", AnyToken: true},
	)})
	e := echo.New()
	e.Use(gw.Require())
	for _, route := range []string{"/orders/:id", "/new", "/ping"} {
		e.Any(route, ok)
	}
	send := func(method, target string, status int, options ...issuertest.Option) {
		t.Helper()
		if w := get(e, method, target, idp.Token(t, options...)); w.Code != status {
			t.Errorf("%s %s: %d, want %d", method, target, w.Code, status)
		}
	}
	for _, client := range []string{"a", "a", "b", "c", "d", "a"} {
		send("PUT", "/orders/1", 200, issuertest.ClientID(client))
	}
	send("PUT", "/orders/1", 200, issuertest.Scopes("orders:write"))
	send("GET", "/orders/1", 200)
	send("GET", "/new", 403)
	send("GET", "/ping", 200)
	send("GET", "/ping", 401, issuertest.Bad("expired"))
	send("GET", "/ping/", 404)
	send("GET", "//ping", 400)
	r := gw.Report()
	wantLines(t, "would be refused", r.WouldRefuse,
		"PUT /orders/:id (shadow) insufficient_scope 6/6 a:3 b:1 others:2",
		" expired 0/1",
	)
	wantLines(t, "would be let in", r.WouldAllow, " forbidden 1/1 others:1")
	if r.Requests != 11 || r.Skipped != 0 || r.Pending != 0 {
		t.Errorf("%d requests, %d skipped, %d pending", r.Requests, r.Skipped, r.Pending)
	}
	got := strings.Join(strings.Fields(r.String()), " ")
	for _, want := range []string{
		"would be refused: (changed / requests) 6 / 6 insufficient_scope PUT /orders/:id (shadow) rule 2 3 client a of " + idp.URL() + " 1 client b",
		"2 others 0 / 1 expired no rule", "would be let in: (changed / requests) 1 / 1 forbidden no rule 1 others",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the text is\n%s, want in it\n%s", r, want)
		}
	}
	if strings.Contains(r.String(), " \n") {
		t.Errorf("a line ends with a space:\n%q", r)
	}
	if document, err := json.Marshal(r); err != nil || !strings.Contains(string(document), `"client_id":"b","requests":1}],"others":2}`) {
		t.Errorf("the JSON is %s, %v", document, err)
	}
	if got := (Report{}).String(); got != "nothing is in shadow\n\nwould be refused: none\n\nwould be let in: none\n" {
		t.Errorf("of nothing:\n%s", got)
	}
}

// A shadow policy is judged whole: its rules, and the routes that it has no rule for.
func TestShadowPolicy(t *testing.T) {
	idp := issuertest.New(t)
	old := mustPolicy(t, Rule{Route: "/orders/{id}", Scopes: []string{"orders"}}, Rule{Route: "/old", AnyToken: true})
	next := mustPolicy(t, Rule{Route: "/orders/{id}", Methods: []string{"GET"}, Claims: []Claim{{Name: "tier", Is: 1}}}, Rule{Route: "/new", AnyToken: true})
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: old, Shadow: next})
	mux := newMux(gw, "/orders/{id}", "/old", "/new")
	for _, tt := range []struct {
		method, target string
		status         int
		options        []issuertest.Option
	}{
		{"GET", "/orders/1", 200, []issuertest.Option{issuertest.Scopes("orders"), issuertest.Claim("tier", 1)}},
		{"GET", "/orders/1", 200, []issuertest.Option{issuertest.Scopes("orders"), issuertest.Claim("tier", "1")}},
		{"GET", "/orders/1", 403, []issuertest.Option{issuertest.Claim("tier", 1)}},
		{"GET", "/orders/1", 403, nil},
		{"PUT", "/orders/1", 200, []issuertest.Option{issuertest.Scopes("orders"), issuertest.Claim("tier", 1)}},
		{"GET", "/old", 200, nil},
		{"GET", "/new", 403, nil},
		{"GET", "/new", 401, []issuertest.Option{issuertest.Bad("forged")}},
	} {
		if w := get(mux, tt.method, tt.target, idp.Token(t, tt.options...)); w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
	}
	if w := get(mux, "GET", "/old", ""); w.Code != 401 {
		t.Errorf("without a token: %d", w.Code)
	}
	r := gw.Report()
	wantLines(t, "would be refused", r.WouldRefuse,
		" forbidden 2/2 test-client:2",
		"GET /orders/{id} forbidden 1/2 test-client:1",
		" bad_signature 0/1",
		" no_token 0/1",
	)
	wantLines(t, "would be let in", r.WouldAllow,
		" forbidden 1/1 test-client:1",
		"* /orders/{id} insufficient_scope 1/1 test-client:1",
	)
	if err := gw.Swap(next, nil); err != nil {
		t.Fatal(err)
	}
	if r := gw.Report(); r.Requests != 0 || r.WouldRefuse != nil {
		t.Errorf("after Swap without a shadow: %+v", r)
	}
}

// A second Bearer judges the request too, and its answer reaches nobody.
func TestShadowAuth(t *testing.T) {
	idp, other := issuertest.New(t), issuertest.New(t)
	shadow, err := bearer.Any(newAuth(t, other), newAuth(t, idp, func(c *bearer.Config) {
		c.Revoked = func(_ context.Context, _, clientID string, _ time.Time) (bool, error) {
			switch clientID {
			case "banned":
				return true, nil
			case "unknown":
				return false, errors.New("no answer")
			case "strange":
				panic("a fault of the app")
			}
			return false, nil
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shadow.Close() })
	auth := newAuth(t, idp)
	for name, form := range map[string]func(*Gateway) http.Handler{
		"Echo": func(gw *Gateway) http.Handler {
			e := echo.New()
			e.Use(gw.Require())
			e.GET("/x", ok)
			return e
		},
		"net/http": func(gw *Gateway) http.Handler { return newMux(gw, "GET /x") },
	} {
		t.Run(name, func(t *testing.T) {
			gw := newGateway(t, Config{Auth: auth, ShadowAuth: shadow, Policy: mustPolicy(t, Rule{Route: "/x", Scopes: []string{"x"}})})
			h := form(gw)
			send := func(issuer *issuertest.Issuer, status int, options ...issuertest.Option) {
				t.Helper()
				if w := get(h, "GET", "/x", issuer.Token(t, append(options, issuertest.Audience(testAPI))...)); w.Code != status {
					t.Errorf("%d, want %d", w.Code, status)
				}
			}
			x := issuertest.Scopes("x")
			send(idp, 200, x)
			send(idp, 200, x, issuertest.ClientID("banned"))
			send(idp, 200, x, issuertest.ClientID("unknown"))
			send(idp, 200, x, issuertest.ClientID("strange"))
			send(idp, 403, issuertest.ClientID("banned"))
			send(idp, 403)
			send(other, 401, x, issuertest.ClientID("theirs"))
			send(other, 401)
			send(other, 401, issuertest.Bad("expired"))
			settle(t, gw)
			r := gw.Report()
			wantLines(t, "would be refused", r.WouldRefuse,
				" revoked 1/2 banned:1",
				" revocations_unavailable 1/1 unknown:1",
				"* /x insufficient_scope 0/2",
				" expired 0/1",
			)
			wantLines(t, "would be let in", r.WouldAllow, " unknown_key 1/1 theirs:1")
			if r.Requests != 8 || r.Skipped != 1 {
				t.Errorf("%d requests, %d skipped", r.Requests, r.Skipped)
			}
		})
	}
}

// A second Bearer that does not answer delays nothing, and the report says what it lacks.
func TestShadowAuthHangs(t *testing.T) {
	idp := issuertest.New(t)
	hang := make(chan struct{})
	shadow := newAuth(t, idp, func(c *bearer.Config) {
		c.Revoked = func(context.Context, string, string, time.Time) (bool, error) {
			<-hang
			return true, nil
		}
	})
	gw := newGateway(t, Config{Auth: newAuth(t, idp), ShadowAuth: shadow, Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true})})
	mux, token := newMux(gw, "/x"), idp.Token(t)
	for range maxJudged + 10 {
		if w := get(mux, "GET", "/x", token); w.Code != 200 {
			t.Fatalf("%d", w.Code)
		}
	}
	if r := gw.Report(); r.Pending != maxJudged || r.Skipped != 10 || r.Requests != 0 {
		t.Errorf("%d pending, %d skipped, %d judged", r.Pending, r.Skipped, r.Requests)
	}
	if text := gw.Report().String(); !strings.Contains(text, "10 NOT JUDGED") {
		t.Error(text)
	}
	close(hang)
	settle(t, gw)
	wantLines(t, "would be refused", gw.Report().WouldRefuse, fmt.Sprintf(" revoked %d/%d test-client:%d", maxJudged, maxJudged, maxJudged))
	if err := gw.Close(); err != nil {
		t.Fatal(err)
	}
	get(mux, "GET", "/x", token)
	if r := gw.Report(); r.Skipped != 11 {
		t.Errorf("after Close: %d skipped", r.Skipped)
	}
}

// Close ends also if code of the app does not.
func TestCloseOfAHangingShadow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		hang := make(chan struct{})
		shadow, err := bearer.New(bearer.Config{
			Issuer: callerIssuer, Audience: callerAudience, Keys: c.keys,
			Revoked: func(context.Context, string, string, time.Time) (bool, error) {
				<-hang
				return false, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		gw := newGateway(t, Config{Auth: c.auth, ShadowAuth: shadow, Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true})})
		if w := get(newMux(gw, "/x"), "GET", "/x", c.token(t, nil)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		began := time.Now()
		if err := gw.Close(); err == nil || time.Since(began) > time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		close(hang)
	})
}

// With a shadow on, every answer has the bytes that it has without one.
func TestShadowChangesNoAnswer(t *testing.T) {
	idp := issuertest.New(t)
	rules := []Rule{{Route: "/orders/:id", Methods: []string{"GET"}, Scopes: []string{"orders:read"}}, {Route: "/orders/{id}", Methods: []string{"GET"}, Scopes: []string{"orders:read"}}}
	strict := mustPolicy(t, Rule{Route: "/orders/:id", Claims: []Claim{{Name: "never", Is: true}}})
	other := issuertest.New(t)
	var credentials []string
	for _, fault := range issuertest.Faults() {
		credentials = append(credentials, "Bearer "+idp.Token(t, issuertest.Bad(fault.Name), issuertest.Audience(testAPI), issuertest.Scopes("orders:read")))
	}
	good := idp.Token(t, issuertest.Audience(testAPI), issuertest.Scopes("orders:read"))
	credentials = append(credentials, "", "Bearer", "Bearer ", "Basic eDp5", "DPoP "+good, "Bearer "+good, "Bearer "+good, "Bearer "+good,
		"Bearer "+idp.Token(t, issuertest.Audience(testAPI)), "Bearer "+other.Token(t, issuertest.Audience(testAPI)),
		"Bearer "+good+"\nBearer "+good, "\nBearer "+good, "Basic eDp5\nBearer "+good, "Bearer "+good+", Bearer "+good) // "\n" is between two headers
	if len(credentials) < 100 {
		t.Fatalf("%d credentials: the test has lost its subject", len(credentials))
	}
	targets := []string{"/orders/1", "/orders/1?access_token=x", "/orders//1", "/orders/%2e%2e", "/nowhere"}
	answers := func(c Config) (all []string) {
		c.Auth = newAuth(t, idp)
		gw := newGateway(t, c)
		e := echo.New()
		e.Use(gw.Require())
		e.Any("/orders/:id", ok)
		for _, h := range []http.Handler{e, newMux(gw, "/orders/{id}")} {
			for _, credential := range credentials {
				for _, target := range targets {
					for _, method := range []string{"GET", "PUT", "OPTIONS"} {
						r := httptest.NewRequest(method, target, nil)
						r.Header.Set("Origin", "https://app.test")
						r.Header.Set("Access-Control-Request-Method", "PUT")
						r.Header["Authorization"] = strings.Split(credential, "\n")
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r)
						var wire strings.Builder
						if err := w.Result().Write(&wire); err != nil && !errors.Is(err, io.EOF) {
							t.Fatal(err)
						}
						all = append(all, wire.String())
					}
				}
			}
		}
		settle(t, gw)
		if r := gw.Report(); c.Shadow == nil && c.ShadowAuth == nil && len(c.Policy.shadow) == 0 {
			if r.Requests != 0 {
				t.Errorf("without a shadow %d requests were judged", r.Requests)
			}
		} else if r.Requests == 0 {
			t.Error("the shadow judged nothing")
		}
		return all
	}
	want := answers(Config{Policy: mustPolicy(t, rules...)})
	always := func(c *bearer.Config) {
		c.Revoked = func(context.Context, string, string, time.Time) (bool, error) { return true, nil }
	}
	for name, c := range map[string]Config{
		"a rule":   {Policy: mustPolicy(t, append(slices.Clone(rules), Rule{Route: "/orders/:id", Scopes: []string{"never"}, Shadow: true})...)},
		"a policy": {Policy: mustPolicy(t, rules...), Shadow: strict},
		"a Bearer": {Policy: mustPolicy(t, rules...), ShadowAuth: newAuth(t, idp, always)},
		"a Bearer of another issuer, and a policy": {Policy: mustPolicy(t, rules...), ShadowAuth: newAuth(t, other), Shadow: strict},
	} {
		t.Run(name, func(t *testing.T) {
			got := answers(c)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("answer %d is\n%s\nwithout the shadow it is\n%s", i, got[i], want[i])
				}
			}
		})
	}
	if !slices.ContainsFunc(want, func(answer string) bool { return strings.HasPrefix(answer, "HTTP/1.1 200") }) {
		t.Error("nothing was let in: the test has lost its subject")
	}
}
