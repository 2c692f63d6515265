package fetch_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// The token endpoint of an issuer, from its metadata.
func ExampleClient_Metadata() {
	var issuer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, issuer, issuer+"/token")
	}))
	defer server.Close()
	issuer = server.URL

	metadata, err := fetch.NewClient(nil, false).Metadata(context.Background(), issuer, "token_endpoint")
	if err != nil {
		log.Fatal(err)
	}
	endpoint, err := metadata.Endpoint("token_endpoint")
	fmt.Println(endpoint == issuer+"/token", err)
	// Output: true <nil>
}
