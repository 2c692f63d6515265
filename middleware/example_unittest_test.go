package middleware_test

import (
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// newOrders is the app under test. It gets the config of its guard, so that a test can
// give it another.
func newOrders(c bearer.Config) http.Handler {
	auth, err := bearer.New(c)
	if err != nil {
		log.Fatal(err)
	}
	e := echo.New()
	e.GET("/orders", func(c echo.Context) error {
		return c.String(http.StatusOK, "orders of "+bearer.TokenFrom(c).ClientID)
	}, auth.Require("orders:read"))
	return e
}

// In a file of yours it is func TestOrders.
func testOrders(t *testing.T) {
	idp := issuertest.New(t) // a real issuer, which ends with the test
	app := newOrders(idp.Bearer("https://api.example.com"))
	read, write := issuertest.Scopes("orders:read"), issuertest.Scopes("orders:write")
	for token, want := range map[string]int{
		idp.Token(t, read):                                 http.StatusOK,
		idp.Token(t, write):                                http.StatusForbidden,
		idp.Token(t, read, issuertest.Bad("expired")):      http.StatusUnauthorized,
		idp.Token(t, read, issuertest.Bad("other issuer")): http.StatusUnauthorized,
		idp.Token(t, read, issuertest.Bad("revoked")):      http.StatusUnauthorized,
		"": http.StatusBadRequest, // "Bearer" without a token
	} {
		r := httptest.NewRequest("GET", "/orders", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if app.ServeHTTP(w, r); w.Code != want {
			t.Errorf("status %d, want %d: %s", w.Code, want, w.Body)
		}
	}
}

// Test your routes with real tokens, good and bad ones, of package issuertest.
func Example_testOfAHandler() {
	_ = testOrders
}
