package outbound_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantDPoP is an authorization server's token endpoint, which binds tokens to keys.
func grantDPoP(w http.ResponseWriter, r *http.Request) {
	fmt.Println("token request with a proof:", r.Header.Get("DPoP") != "")
	fmt.Fprint(w, `{"access_token":"a-bound-token","token_type":"DPoP","expires_in":900}`)
}

// ordersDPoP is an API, which asks for its nonce in each proof.
func ordersDPoP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.Header.Get("DPoP"), ".")
	fmt.Println(r.Header.Get("Authorization"), len(parts))
	if !nonceSent {
		nonceSent = true
		w.Header().Set("DPoP-Nonce", "a-nonce")
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

var nonceSent bool

// Tokens are bound to a key in the memory of this process. Each request has a proof, so a
// stolen token is of no use.
func ExampleNewDPoPKey() {
	auth := httptest.NewServer(http.HandlerFunc(grantDPoP))
	defer auth.Close()
	api := httptest.NewServer(http.HandlerFunc(ordersDPoP))
	defer api.Close()

	calls, err := outbound.New(outbound.Config{
		TokenURL: auth.URL, ClientID: "reporter", Secret: outbound.Secret("the-secret"), Resources: []string{api.URL},
		DPoP: outbound.NewDPoPKey(),
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
	// token request with a proof: true
	// DPoP a-bound-token 3
	// DPoP a-bound-token 3
	// 200
}
