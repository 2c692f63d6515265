package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// What is for operators is shown to callers with the scopes, and to nobody without any.
func TestHandlersAreGuarded(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, ordersRules()...), Shadow: mustPolicy(t, ordersRules()...)})
	operator := idp.Token(t, issuertest.Scopes("gateway:read"))
	for name, of := range map[string]func(...string) http.Handler{"PolicyHandler": gw.PolicyHandler, "ReportHandler": gw.ReportHandler} {
		h := of("gateway:read")
		for _, tt := range []struct {
			h             http.Handler
			method, token string
			status        int
		}{
			{h, "GET", "", 401}, {h, "GET", idp.Token(t), 403}, {h, "GET", operator, 200}, {h, "HEAD", operator, 200}, {h, "POST", operator, 405},
			{of(), "GET", operator, 500}, {of(), "GET", "", 500}, {of(""), "GET", operator, 403},
		} {
			w := get(tt.h, tt.method, "/", tt.token)
			if w.Code != tt.status {
				t.Errorf("%s: %s: %d, want %d", name, tt.method, w.Code, tt.status)
			}
			if w.Code == 200 && (w.Header().Get("Cache-Control") != "no-store" || strings.Contains(w.Body.String(), " \n")) {
				t.Errorf("%s: %v\n%q", name, w.Header(), w.Body)
			}
			if w.Code != 200 && strings.Contains(w.Body.String(), "orders") {
				t.Errorf("%s: %d shows rules: %s", name, w.Code, w.Body)
			}
		}
	}
}

func TestPolicyHandler(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, ordersRules()...), Shadow: mustPolicy(t, Rule{Route: "/next", AnyToken: true})})
	e := newOrders(gw)
	reads := idp.Token(t, issuertest.Scopes("orders:read"))
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "GET"} {
		get(e, method, "/orders/1", reads)
	}
	get(e, "GET", "/orders/1", "")
	h := gw.PolicyHandler("gateway:read")
	operator := idp.Token(t, issuertest.Scopes("gateway:read"))
	w := get(h, "GET", "/", operator)
	var shown struct {
		Rules []struct {
			Route             string
			Scopes            []string
			Place             string
			Requests, Refused int
			Unused            bool
		}
		Unmatched int
		Shadow    json.RawMessage
	}
	if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if len(shown.Rules) != 4 || shown.Unmatched != 1 {
		t.Fatalf("shown: %s", w.Body)
	}
	if r := shown.Rules[0]; r.Route != "/orders/:id" || r.Requests != 3 || r.Refused != 0 || r.Unused || r.Place != "rule 1" {
		t.Errorf("the first rule: %+v", r)
	}
	if r := shown.Rules[1]; r.Requests != 1 || r.Refused != 1 {
		t.Errorf("the second rule: %+v", r)
	}
	if r := shown.Rules[3]; r.Route != "/gone" || !r.Unused {
		t.Errorf("a rule without a route: %+v", r)
	}
	if p, err := ParsePolicy(shown.Shadow); err != nil || p.Rules()[0].Route != "/next" {
		t.Errorf("the shadow: %v in %s", err, shown.Shadow)
	}
	text := get(h, "GET", "/?format=text", operator)
	if strings.Contains(text.Body.String(), " \n") {
		t.Errorf("a line ends with a space:\n%q", text.Body)
	}
	if got := text.Body.String(); !strings.Contains(got, "not used: rule 4 (* /gone)") || !strings.Contains(got, "in shadow: policy: 1 rule;") || strings.Contains(got, "not used: rule 1") {
		t.Errorf("as a text:\n%s", got)
	}
	if got := text.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("the text is %s", got)
	}
}

// A rule is unused if the router has its route for none of its methods.
func TestUnusedRules(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t,
		Rule{Route: "/a", Methods: []string{"GET"}, AnyToken: true},
		Rule{Route: "/a", Methods: []string{"POST", "PUT"}, AnyToken: true},
		Rule{Route: "/a", Methods: []string{"DELETE"}, AnyToken: true},
		Rule{Route: "/a", AnyToken: true},
		Rule{Route: "/b/:id", AnyToken: true},
		Rule{Route: "/h", Methods: []string{"GET"}, AnyToken: true},
		Rule{Route: "/host", AnyToken: true},
		Rule{Route: "/group/*", Methods: []string{"GET"}, AnyToken: true},
	)})
	unused := func() (names []string) {
		for _, r := range gw.Status().Rules {
			if r.Unused {
				names = append(names, r.Name)
			}
		}
		return names
	}
	if got := unused(); got != nil {
		t.Errorf("before a request %q", got)
	}
	e := echo.New()
	e.Use(gw.Require())
	e.GET("/a", ok)
	e.PUT("/a", ok)
	e.GET("/b/:other", ok)
	e.HEAD("/h", ok)
	e.Group("/group", echomw.Recover())
	e.Host("x.test").GET("/host", ok)
	get(e, "GET", "/a", "")
	if got := strings.Join(unused(), "; "); got != "DELETE /a; * /b/:id" {
		t.Errorf("unused: %s", got)
	}
}

func TestReportHandler(t *testing.T) {
	idp := issuertest.New(t)
	gw := newGateway(t, Config{Auth: newAuth(t, idp), Policy: mustPolicy(t, Rule{Route: "/x", AnyToken: true}), Shadow: mustPolicy(t, Rule{Route: "/x", Scopes: []string{"x"}})})
	get(newMux(gw, "/x"), "GET", "/x", idp.Token(t, issuertest.ClientID("a\u202eb")))
	h, operator := gw.ReportHandler("gateway:read"), idp.Token(t, issuertest.Scopes("gateway:read"))
	want := `"requests":1,"pending":0,"skipped":0,"would_refuse":[{"rule":"* /x","place":"rule 1","reason":"insufficient_scope","requests":1,"changed":1,` +
		`"clients":[{"issuer":"` + idp.URL() + "\",\"client_id\":\"a\u202eb\",\"requests\":1}]}],\"would_allow\":[]}"
	if got := get(h, "GET", "/", operator).Body.String(); !strings.Contains(got, want) {
		t.Errorf("shown\n%s, want\n%s", got, want)
	}
	if got := get(h, "GET", "/?format=text", operator).Body.String(); strings.Contains(got, "\u202e") || !strings.Contains(got, `"a\u202eb"`) {
		t.Errorf("as a text:\n%s", got)
	}
}
