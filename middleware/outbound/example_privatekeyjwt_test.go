package outbound_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantPrivateKeyJWT is an authorization server's token endpoint.
func grantPrivateKeyJWT(w http.ResponseWriter, r *http.Request) {
	fmt.Println("a secret is sent:", r.FormValue("client_secret") != "" || r.Header.Get("Authorization") != "")
	fmt.Println(r.FormValue("client_id"), r.FormValue("client_assertion_type"))
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// ordersPrivateKeyJWT is an API.
func ordersPrivateKeyJWT(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "orders for ", r.Header.Get("Authorization"))
}

// The client signs each token request with its key. The server knows the public half.
func ExamplePrivateKeyJWT() {
	auth := httptest.NewServer(http.HandlerFunc(grantPrivateKeyJWT))
	defer auth.Close()
	api := httptest.NewServer(http.HandlerFunc(ordersPrivateKeyJWT))
	defer api.Close()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // or any crypto.Signer, such as one of a KMS
	if err != nil {
		log.Fatal(err)
	}
	calls, err := outbound.New(outbound.Config{
		TokenURL: auth.URL, ClientID: "reporter", Resources: []string{api.URL},
		Assertion:         outbound.PrivateKeyJWT(key, "", ""),
		AssertionAudience: "https://auth.example.com", // with Issuer in place of TokenURL, leave this out
	})
	if err != nil {
		log.Fatal(err)
	}
	defer calls.Close()
	res, err := calls.Client().Get(api.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode)
	// Output:
	// a secret is sent: false
	// reporter urn:ietf:params:oauth:client-assertion-type:jwt-bearer
	// 200
}
