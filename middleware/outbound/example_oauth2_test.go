package outbound_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"golang.org/x/oauth2"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantOAuth2 is an authorization server's token endpoint.
func grantOAuth2(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// A library that takes an oauth2.TokenSource gets its tokens from the Source.
func ExampleSource_OAuth2() {
	auth := httptest.NewServer(http.HandlerFunc(grantOAuth2))
	defer auth.Close()

	calls, err := outbound.New(outbound.Config{TokenURL: auth.URL, ClientID: "reporter", Secret: outbound.Secret("the-secret")})
	if err != nil {
		log.Fatal(err)
	}
	defer calls.Close()

	var library struct{ Tokens oauth2.TokenSource }
	library.Tokens = calls.OAuth2()

	token, err := library.Tokens.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Type(), token.Valid())
	// Output: Bearer true
}
