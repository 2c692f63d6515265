package outbound_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantOAuth2Assertion is an authorization server's token endpoint.
func grantOAuth2Assertion(w http.ResponseWriter, r *http.Request) {
	fmt.Println(r.FormValue("client_id"), r.FormValue("client_assertion") != "", r.FormValue("client_secret") != "")
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// A program that stays with golang.org/x/oauth2 can authenticate with a key too.
func ExampleAssertion_OAuth2() {
	auth := httptest.NewServer(http.HandlerFunc(grantOAuth2Assertion))
	defer auth.Close()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	config := &clientcredentials.Config{ClientID: "reporter", TokenURL: auth.URL, Scopes: []string{"orders:read"}}
	source := outbound.PrivateKeyJWT(key, "", "").OAuth2(context.Background(), config, "https://auth.example.com")
	client := oauth2.NewClient(context.Background(), source)
	fmt.Println(client != nil)

	token, err := source.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Type())
	// Output:
	// true
	// reporter true false
	// Bearer
}
