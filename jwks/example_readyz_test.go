package jwks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A readiness endpoint of an API: ready while it has keys to verify with. An outage of
// the issuer does not make it unready before the held set may no longer be used.
func ExampleRemote_Ready() {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := jwks.NewKeyring(private)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(issuer)
	keys := jwks.NewRemote(server.URL, jwks.RemoteConfig{Quiet: true})
	defer keys.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", readyz(keys))

	fmt.Println(probeReady(mux))
	server.Close()
	fmt.Println(probeReady(mux)) // the set is cached

	cold := jwks.NewRemote(server.URL, jwks.RemoteConfig{Quiet: true})
	defer cold.Close()
	mux = http.NewServeMux()
	mux.HandleFunc("GET /readyz", readyz(cold))
	fmt.Println(probeReady(mux))
	// Output:
	// 200, keys: 1, fetches: 1, failures: 0
	// 200, keys: 1, fetches: 1, failures: 0
	// 503, keys: 0, fetches: 1, failures: 1
}

// readyz answers 200 or 503, and shows the status of the key set. The errors in it name
// hosts, so serve it to operators only.
func readyz(keys *jwks.Remote) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		w.Header().Set("Content-Type", "application/json")
		if err := keys.Ready(ctx); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if err := json.NewEncoder(w).Encode(keys.Status()); err != nil {
			log.Print(err)
		}
	}
}

func probeReady(mux http.Handler) string {
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	var status struct{ Keys, Fetches, Failures int }
	if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil {
		log.Fatal(err)
	}
	return fmt.Sprintf("%d, keys: %d, fetches: %d, failures: %d", answer.Code, status.Keys, status.Fetches, status.Failures)
}
