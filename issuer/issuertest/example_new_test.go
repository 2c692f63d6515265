package issuertest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// newApp is the app under test. It gets the config of its guard, so that a test can give
// it another.
func newApp(c bearer.Config) http.Handler {
	app := echo.New()
	auth, err := bearer.New(c)
	if err != nil {
		app.Logger.Fatal(err)
	}
	app.GET("/orders", func(c echo.Context) error {
		return c.String(http.StatusOK, "hello "+bearer.TokenFrom(c).ClientID)
	}, auth.Require("orders:read"))
	return app
}

// In a file of yours it is func TestOrders.
func testOrders(t *testing.T) {
	idp := issuertest.New(t)
	api := httptest.NewServer(newApp(idp.Bearer("https://api.example.com")))
	defer api.Close()
	answer, err := idp.Client(t, issuertest.Scopes("orders:read")).Get(api.URL + "/orders")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Error(answer, err)
	}
}

// The test of a guarded route.
func ExampleNew() {
	_ = testOrders
}
