package issuertest_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// In a file of yours it is func TestOutage.
func testOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := issuertest.New(t, func(c *issuer.Config) { c.Issuer = "https://auth.test" })
		secret := idp.Register(t, registry.Client{ID: "reporter", Audiences: []string{"https://api.example.com"}})
		calls, err := outbound.New(outbound.Config{
			Issuer: idp.URL(), ClientID: "reporter", Secret: outbound.Secret(secret),
			HTTP: &http.Client{Transport: idp.Transport(t)}, Quiet: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer calls.Close()
		if _, err := calls.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		idp.TokenEndpoint.Fail(http.StatusServiceUnavailable)
		time.Sleep(10 * time.Minute) // of the 15 that the token lives
		if _, err := calls.Token(t.Context()); err != nil {
			t.Error("no token in an outage:", err)
		}
		idp.TokenEndpoint.Restore()
		time.Sleep(10 * time.Minute)
		if _, err := calls.Token(t.Context()); err != nil {
			t.Error("no token after an outage:", err)
		}
	})
}

// A caller lives through an outage of the token endpoint.
func ExampleSwitch() {
	_ = testOutage
}
