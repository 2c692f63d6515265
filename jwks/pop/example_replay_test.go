package pop_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// Replicas that share a store accept a proof once between them. The method Once of a
// store of issuer/registry has the form of a ReplayFunc; this one is for illustration.
func ExampleConfig_replay() {
	used := map[[2]string]bool{}
	once := func(_ context.Context, scope, id string, _ time.Time) (bool, error) {
		first := !used[[2]string{scope, id}]
		used[[2]string{scope, id}] = true
		return first, nil
	}
	private, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	prover, err := pop.NewProver(private, "")
	if err != nil {
		log.Fatal(err)
	}
	proof, err := prover.Proof("POST", "https://auth.example.com/token", "", "")
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // two replicas
		verifier, err := pop.NewVerifier(pop.Config{Replay: once})
		if err != nil {
			log.Fatal(err)
		}
		_, err = verifier.Verify(context.Background(), pop.Request{
			Proofs: []string{proof}, Method: "POST", URL: "https://auth.example.com/token",
		})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// pop: invalid_dpop_proof: the DPoP proof was used before
}
