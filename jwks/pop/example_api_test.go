package pop_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// An API checks the proof of each request, and its client makes one for each. Here the
// access token has been checked already: it is bound to jkt.
func Example_api() {
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	prover, err := pop.NewProver(private, "")
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := pop.NewVerifier(pop.Config{})
	if err != nil {
		log.Fatal(err)
	}
	const base = "https://api.example.com" // from configuration, never from the request
	accessToken, jkt := "an.access.token", prover.Thumbprint()

	orders := func(w http.ResponseWriter, r *http.Request) {
		_, err := verifier.Verify(r.Context(), pop.Request{
			Proofs: r.Header.Values("DPoP"), Method: r.Method, URL: base + r.URL.EscapedPath(),
			AccessToken: accessToken, Thumbprint: jkt, Client: "reporter",
		})
		var refused *pop.Error
		switch {
		case errors.As(err, &refused):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`DPoP error=%q, algs="ES256 EdDSA PS256"`, refused.Code))
			w.WriteHeader(http.StatusUnauthorized)
		case err != nil: // pop.ErrUnavailable
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusOK)
		}
	}

	proof, err := prover.Proof(http.MethodGet, base+"/v1/orders?page=2", accessToken, "")
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // an attacker sends the same request once more
		r := httptest.NewRequest(http.MethodGet, "/v1/orders?page=2", nil)
		r.Header.Set("Authorization", "DPoP "+accessToken)
		r.Header.Set("DPoP", proof)
		w := httptest.NewRecorder()
		orders(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 200 ""
	// 401 "DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA PS256\""
}
