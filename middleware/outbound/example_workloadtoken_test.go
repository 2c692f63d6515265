package outbound_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// grantWorkloadToken is an authorization server's token endpoint.
func grantWorkloadToken(w http.ResponseWriter, r *http.Request) {
	fmt.Println(r.FormValue("client_id"), r.FormValue("client_assertion"))
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// ordersWorkloadToken is an API.
func ordersWorkloadToken(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "orders for ", r.Header.Get("Authorization"))
}

// The platform writes a token into a file, and renews it. In Kubernetes that is a projected
// volume of the pod, whose audience is the authorization server's issuer.
func ExampleWorkloadToken() {
	auth := httptest.NewServer(http.HandlerFunc(grantWorkloadToken))
	defer auth.Close()
	api := httptest.NewServer(http.HandlerFunc(ordersWorkloadToken))
	defer api.Close()
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "token")
	if err := os.WriteFile(path, []byte("header.payload.signature\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	calls, err := outbound.New(outbound.Config{
		TokenURL: auth.URL, ClientID: "reporter", Resources: []string{api.URL},
		Assertion: outbound.WorkloadToken(path),
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
	// reporter header.payload.signature
	// 200
}
