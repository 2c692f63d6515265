package issuertest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// In a file of yours it is func TestExpiry. newApp is the app under test.
func testExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := issuertest.New(t, func(c *issuer.Config) { c.Issuer = "https://auth.test" })
		app := newApp(idp.Bearer("https://api.example.com"))
		request := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
		request.Header.Set("Authorization", "Bearer "+idp.Token(t, issuertest.Scopes("orders:read"), issuertest.Lifetime(time.Hour)))
		for _, want := range []int{http.StatusOK, http.StatusUnauthorized} {
			answer := httptest.NewRecorder()
			app.ServeHTTP(answer, request)
			if answer.Code != want {
				t.Errorf("status %d, want %d", answer.Code, want)
			}
			time.Sleep(2 * time.Hour) // takes no time in a bubble
		}
	})
}

// In a bubble of testing/synctest hours take no time. The issuer does not listen there.
func ExampleIssuer_ServeHTTP() {
	_ = testExpiry
}
