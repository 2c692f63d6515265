package outbound

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// ProofKey is the private key that tokens are bound to by DPoP (RFC 9449). Make one with
// [NewDPoPKey] or [DPoPKey]. It prints without the key. The zero ProofKey is none.
type ProofKey struct {
	prover   *pop.Prover
	local    bool // signing is quick and never waits
	mistaken error
}

// DPoPKey returns a ProofKey of a private key, which may be in a KMS or an HSM: it signs
// for each request. An empty alg means the algorithm of the key's curve, EdDSA for
// Ed25519, or PS256 for RSA.
func DPoPKey(key crypto.Signer, alg string) ProofKey {
	if isNilKey(key) {
		return ProofKey{mistaken: fmt.Errorf("DPoPKey: a nil key")}
	}
	prover, err := pop.NewProver(key, alg)
	if err != nil {
		return ProofKey{mistaken: fmt.Errorf("DPoPKey: %w", err)}
	}
	return ProofKey{prover: prover, local: isLocal(key)}
}

// NewDPoPKey returns a ProofKey of a new ES256 key, which never leaves the memory of this
// process. That is the usual choice: the key need not be registered anywhere, and each
// process asks for tokens of its own.
func NewDPoPKey() ProofKey {
	key, err := jose.Generate("ES256")
	if err != nil {
		return ProofKey{mistaken: fmt.Errorf("NewDPoPKey: %w", err)}
	}
	return DPoPKey(key, "")
}

func (k ProofKey) zero() bool { return k.prover == nil && k.mistaken == nil }

// prover makes the proofs of a family.
type prover struct {
	key     ProofKey
	fetches callout // for the token endpoint
	calls   callout // for APIs
	token   nonceOf // of the token endpoint
	apis    nonces
}

// newProver returns nil without a key.
func newProver(key ProofKey) *prover {
	if key.zero() {
		return nil
	}
	const field, noun = "the key of Config.DPoP", "proof"
	return &prover{
		key:     key,
		fetches: callout{field: field, noun: noun},
		calls:   callout{field: field, noun: noun, mayHang: maxHungProofs},
	}
}

// maxHungProofs is how many requests may have left before their proofs were signed. A short
// deadline of some must not end others.
const maxHungProofs = 100

// prove makes the proof of one request. A key that is not in memory has until the context
// ends. at is the time by the server's clock, as far as it is known.
func (p *prover) prove(ctx context.Context, c *callout, at time.Time, method, url, token, nonce string) (string, error) {
	if p.key.local {
		return p.key.prover.ProofAt(at, method, url, token, nonce)
	}
	return call(ctx, c, func(context.Context) (string, error) {
		return p.key.prover.ProofAt(at, method, url, token, nonce)
	})
}
