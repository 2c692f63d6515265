package issuertest_test

import (
	"context"
	"net/http"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/issuer/registry"
)

// In a file of yours it is func TestOutage.
func testOutage(t *testing.T) {
	idp := issuertest.New(t)
	secret := idp.Register(t, registry.Client{ID: "reporter", Audiences: []string{"https://api.example.com"}})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
	caller := clientcredentials.Config{ClientID: "reporter", ClientSecret: secret, TokenURL: idp.URL() + "/token"}

	idp.TokenEndpoint.Fail(http.StatusServiceUnavailable)
	if token, err := caller.Token(ctx); err == nil {
		t.Error("a token in an outage:", token)
	}
	idp.TokenEndpoint.Restore()
	if _, err := caller.Token(ctx); err != nil {
		t.Error(err)
	}
	if n := idp.TokenEndpoint.Requests(); n > 3 {
		t.Errorf("%d requests for a token", n)
	}
}

// A caller lives through an outage of the token endpoint.
func ExampleSwitch() {
	_ = testOutage
}
