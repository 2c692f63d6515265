package outbound_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantFor is an authorization server's token endpoint.
func grantFor(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// ordersFor is an API.
func ordersFor(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "orders for ", r.Header.Get("Authorization"))
}

// One client calls two APIs, with a token for each.
func ExampleSource_For() {
	auth := httptest.NewServer(http.HandlerFunc(grantFor))
	defer auth.Close()
	api := httptest.NewServer(http.HandlerFunc(ordersFor))
	defer api.Close()

	calls, err := outbound.New(outbound.Config{TokenURL: auth.URL, ClientID: "reporter", Secret: outbound.Secret("the-secret")})
	if err != nil {
		log.Fatal(err)
	}
	defer calls.Close()
	orders := calls.For(api.URL, "orders:read")
	stock := calls.For("https://stock.example.com", "stock:read", "stock:write")

	res, err := orders.Client().Get(api.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode)
	token, err := stock.Token(context.Background())
	fmt.Println(token.Scopes(), err)
	_, err = stock.Client().Get(api.URL) // a token for one API is not sent to another
	fmt.Println(err != nil)
	// Output:
	// 200
	// [stock:read stock:write] <nil>
	// true
}
