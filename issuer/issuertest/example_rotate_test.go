package issuertest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// In a file of yours it is func TestLeakedKey. newApp is the app under test.
func testLeakedKey(t *testing.T) {
	idp := issuertest.New(t)
	api := httptest.NewServer(newApp(idp.Bearer("https://api.example.com")))
	defer api.Close()
	before := idp.Client(t, issuertest.Scopes("orders:read"))
	idp.EmergencyRotate(t)
	after := idp.Client(t, issuertest.Scopes("orders:read"))
	for client, want := range map[*http.Client]int{before: http.StatusUnauthorized, after: http.StatusOK} {
		if answer, err := client.Get(api.URL + "/orders"); err != nil || answer.StatusCode != want {
			t.Error(answer, err)
		}
	}
}

// After a key has leaked, its tokens are refused and new ones pass.
func ExampleIssuer_EmergencyRotate() {
	_ = testLeakedKey
}
