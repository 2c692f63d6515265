package outbound_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantNew is an authorization server's token endpoint.
func grantNew(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// ordersNew is an API.
func ordersNew(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "orders for ", r.Header.Get("Authorization"))
}

func ExampleNew() {
	auth := httptest.NewServer(http.HandlerFunc(grantNew))
	defer auth.Close()
	api := httptest.NewServer(http.HandlerFunc(ordersNew))
	defer api.Close()

	calls, err := outbound.New(outbound.Config{
		TokenURL:  auth.URL, // or Issuer, whose metadata names it
		ClientID:  "reporter",
		Secret:    outbound.Secret("the-secret"),
		Resources: []string{api.URL}, // the tokens are for this API and are sent to no other host
		Scopes:    []string{"orders:read"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer calls.Close()

	res, err := calls.Client().Get(api.URL + "/orders")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode)
	// Output: 200
}
