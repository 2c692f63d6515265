package jwks_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// The key set of an issuer is found through its metadata (RFC 8414), so an API knows only
// the issuer's URL.
func ExampleNewIssuerRemote() {
	issuer := httptest.NewServer(nil)
	defer issuer.Close()
	issuer.Config.Handler = issuerOf(issuer.URL)

	keys := jwks.NewIssuerRemote(issuer.URL, jwks.RemoteConfig{})
	defer keys.Close()
	if err := keys.Ready(context.Background()); err != nil {
		log.Fatal(err)
	}
	status := keys.Status()
	fmt.Println(status.Keys, status.URL == issuer.URL+"/keys")
	// Output: 1 true
}

func issuerOf(url string) http.Handler {
	private, err := jose.Generate("EdDSA")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /keys", keys)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, url, url+"/keys")
	})
	return mux
}
