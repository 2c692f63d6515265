package issuertest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/echo-m2m/m2m/issuer/issuertest"
)

// In a file of yours it is func TestBadTokens. newApp is the app under test.
func testBadTokens(t *testing.T) {
	idp := issuertest.New(t)
	app := newApp(idp.Bearer("https://api.example.com"))
	for _, fault := range issuertest.Faults() {
		request := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
		request.Header.Set("Authorization", "Bearer "+idp.Token(t, issuertest.Scopes("orders:read"), issuertest.Bad(fault.Name)))
		answer := httptest.NewRecorder()
		app.ServeHTTP(answer, request)
		if answer.Code != fault.Status {
			t.Errorf("%s: status %d, want %d", fault.Name, answer.Code, fault.Status)
		}
	}
}

// A route refuses every bad token of this package.
func ExampleFaults() {
	_ = testBadTokens
}
