package issuer

import (
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// A client that is told to use a nonce sends the same assertion with another proof. The
// assertion is used up by the request that gets a token.
func TestAssertionAfterNonce(t *testing.T) {
	nonces, err := pop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	private, err := jose.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	prover, err := pop.NewProver(private, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	key := newPair(t)
	s := newService(t, Config{DPoP: &pop.Config{Nonces: nonces, RequireNonce: true}}, keyed(t, "keyed", key))
	assertion := asserted(key.assert(t, "keyed", nil))
	prove := func(nonce string) string {
		proof, err := prover.Proof("POST", testIssuer+"/token", "", nonce)
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	first := s.post(assertion, "DPoP", prove(""))
	nonce := first.Header().Get("DPoP-Nonce")
	if first.Code != 400 || nonce == "" {
		t.Fatalf("without a nonce: %d %s", first.Code, first.Body)
	}
	if second := s.post(assertion, "DPoP", prove(nonce)); second.Code != 200 {
		t.Fatalf("with the nonce: %d %s", second.Code, second.Body)
	}
	s.wantStatus(t, s.post(assertion, "DPoP", prove(nonce)), 401)
	if e := s.lastEvent(t); e.Reason != event.ReplayedAssertion {
		t.Errorf("event %+v", e)
	}
}
