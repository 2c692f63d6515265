package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/gateway"
)

// A policy is printed when a program starts.
func ExampleParsePolicy() {
	policy, err := gateway.ParsePolicy([]byte(`{"rules": [
		{"route": "/orders/:id", "methods": ["GET"], "scopes": ["orders:read"]},
		{"route": "/orders/:id", "scopes": ["orders:write"]},
		{"route": "/ping", "any_token": true}
	]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range policy.Rules() {
		fmt.Println(r.Methods, r.Route, r.Scopes, r.AnyToken)
	}

	_, err = gateway.ParsePolicy([]byte(`{"rules": [
		{"route": "/orders/:id", "scopes": ["orders:write"]},
		{"route": "/orders/:id", "methods": ["GET"], "scopes": ["orders:read"]}
	]}`))
	fmt.Println(err)
	// Output:
	// [GET] /orders/:id [orders:read] false
	// [] /orders/:id [orders:write] false
	// [] /ping [] true
	// gateway: the policy: line 3 (GET /orders/:id) never decides on GET: line 2 (* /orders/:id) does
}

// A policy in shadow decides nothing, and the report says whom it would refuse.
func TestExampleOfAShadow(t *testing.T) {
	idp := issuertest.New(t)
	auth, err := bearer.New(idp.Bearer("https://api.test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	now, err := gateway.NewPolicy(gateway.Rule{Route: "/orders/:id", AnyToken: true})
	if err != nil {
		t.Fatal(err)
	}
	next, err := gateway.NewPolicy(gateway.Rule{Route: "/orders/:id", Scopes: []string{"orders:read"}})
	if err != nil {
		t.Fatal(err)
	}
	gw, err := gateway.New(gateway.Config{Auth: auth, Policy: now, Shadow: next})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Close() })

	e := echo.New()
	e.Use(gw.Require())
	e.GET("/orders/:id", func(c echo.Context) error { return c.String(http.StatusOK, "order of "+bearer.TokenFrom(c).ClientID) })
	r := httptest.NewRequest(http.MethodGet, "/orders/1", nil)
	r.Header.Set("Authorization", "Bearer "+idp.Token(t, issuertest.ClientID("billing")))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Body.String() != "order of billing" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	refused := gw.Report().WouldRefuse
	if len(refused) != 1 || refused[0].Changed != 1 || refused[0].Rule != "* /orders/:id" || refused[0].Clients[0].ClientID != "billing" {
		t.Errorf("%+v", refused)
	}
	if err := gw.Swap(next, nil); err != nil { // the policy is switched on
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	if e.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}
