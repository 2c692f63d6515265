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

// grantSecretFile is an authorization server's token endpoint.
func grantSecretFile(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
}

// ordersSecretFile is an API.
func ordersSecretFile(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "orders for ", r.Header.Get("Authorization"))
}

// The file of a mounted secret is read at each fetch, so a rotation needs no restart.
func ExampleSecretFile() {
	auth := httptest.NewServer(http.HandlerFunc(grantSecretFile))
	defer auth.Close()
	api := httptest.NewServer(http.HandlerFunc(ordersSecretFile))
	defer api.Close()

	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "client-secret")
	if err := os.WriteFile(path, []byte("the-secret\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	calls, err := outbound.New(outbound.Config{
		TokenURL: auth.URL, ClientID: "reporter", Secret: outbound.SecretFile(path), Resources: []string{api.URL},
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
	// Output: 200
}
