package pop_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// A server that requires nonces refuses the first proof of a client and tells the nonce.
// The client makes a new proof with it. Replicas that share the secret agree.
func ExampleNonces() {
	nonces, err := pop.NewNonces([]byte("32 random bytes from your secrets"))
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := pop.NewVerifier(pop.Config{Nonces: nonces, RequireNonce: true})
	if err != nil {
		log.Fatal(err)
	}
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	prover, err := pop.NewProver(private, "")
	if err != nil {
		log.Fatal(err)
	}

	nonce := "" // the last DPoP-Nonce header of this server
	for range 2 {
		proof, err := prover.Proof("POST", "https://auth.example.com/token", "", nonce)
		if err != nil {
			log.Fatal(err)
		}
		accepted, err := verifier.Verify(context.Background(), pop.Request{
			Proofs: []string{proof}, Method: "POST", URL: "https://auth.example.com/token", Client: "reporter",
		})
		if refused, ok := errors.AsType[*pop.Error](err); ok {
			fmt.Println(refused.Code, refused.Description)
			nonce = refused.Nonce
			continue
		}
		fmt.Println(err, accepted.Thumbprint == prover.Thumbprint()) // the jkt of the new token
	}
	// Output:
	// use_dpop_nonce the DPoP proof must have the nonce of the DPoP-Nonce header
	// <nil> true
}
