package outbound_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantReady is an authorization server's token endpoint.
func grantReady(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// A service is ready when it holds a token. Status tells an operator why it is not.
func ExampleSource_Ready() {
	auth := httptest.NewServer(http.HandlerFunc(grantReady))
	defer auth.Close()

	calls, err := outbound.New(outbound.Config{TokenURL: auth.URL, ClientID: "reporter", Secret: outbound.Secret("the-secret")})
	if err != nil {
		log.Fatal(err)
	}
	defer calls.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := calls.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	s := calls.Status()
	fmt.Println(s.ClientID, s.Valid, s.Fetches, s.LastError)
	// Output: reporter true 1 <nil>
}
