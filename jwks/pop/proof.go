package pop

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Bounds on a proof.
const (
	maxProof = 12 << 10 // bytes
	maxID    = 512      // bytes of jti
	maxNonce = 512      // bytes

	// The sender of a proof chooses its key, and so what a check costs. With these bounds
	// RSA costs no more than twice as much as ES256.
	maxRSABits     = 4096
	maxRSAExponent = 1<<16 + 1
)

// proof is a proof whose signature is right.
type proof struct {
	header             string // encoded
	key                *jose.Key
	thumbprint         string // of key
	id, method, url    string
	issued             time.Time
	hash, nonce        string    // "" if there is none
	expires, notBefore time.Time // which a proof need not have
	hasExpiry          bool
}

// read checks what does not depend on the request: the form of the proof and its
// signature.
func (v *Verifier) read(proofs []string) (proof, *Error) {
	switch len(proofs) {
	case 0:
		return proof{}, refuse("the request has no DPoP proof", nil)
	case 1:
	default:
		return proof{}, refuse("the request has more than one DPoP header", nil)
	}
	token, err := jose.Parse(proofs[0], maxProof)
	if err != nil {
		return proof{}, refuse("the DPoP proof is not a signed JWT", err)
	}
	if token.Type() != proofType {
		return proof{}, refuse("the DPoP proof is not of the type "+proofType, nil)
	}
	if !slices.Contains(v.algorithms, token.Algorithm()) {
		return proof{}, refuse("the algorithm of the DPoP proof is not accepted", nil)
	}
	header, _, _ := strings.Cut(proofs[0], ".")
	key := v.keys.get(header)
	if key == nil {
		if key, err = embeddedKey(&token); err != nil {
			return proof{}, refuse("the DPoP proof has no usable public key (jwk)", err)
		}
	}
	payload, err := token.Verify(key)
	if err != nil {
		return proof{}, refuse("the signature of the DPoP proof is wrong", err)
	}
	p, err := readClaims(payload)
	if err != nil {
		return proof{}, refuse("a claim of the DPoP proof is missing or malformed", err)
	}
	p.header, p.key, p.thumbprint = header, key, key.Thumbprint()
	return p, nil
}

// embeddedKey returns the public key in the header.
func embeddedKey(token *jose.JWS) (*jose.Key, error) {
	key, err := token.EmbeddedKey()
	if err != nil {
		return nil, err
	}
	if p, ok := key.Public().(*rsa.PublicKey); ok && (p.N.BitLen() > maxRSABits || p.E > maxRSAExponent) {
		return nil, fmt.Errorf("an RSA key of more than %d bits, or with an exponent of more than %d", maxRSABits, maxRSAExponent)
	}
	return key, nil
}

func readClaims(payload string) (p proof, err error) {
	claims, err := jose.ParseObject(payload)
	if err != nil {
		return proof{}, err
	}
	for _, c := range []struct {
		name     string
		into     *string
		longest  int
		required bool
	}{
		{"jti", &p.id, maxID, true},
		{"htm", &p.method, maxProof, true},
		{"htu", &p.url, maxProof, true},
		{"ath", &p.hash, maxProof, false},
		{"nonce", &p.nonce, maxNonce, false},
	} {
		value, ok, err := claims.String(c.name)
		switch {
		case err != nil:
			return proof{}, err
		case value == "" && (ok || c.required):
			return proof{}, fmt.Errorf("there is no %s", c.name)
		case len(value) > c.longest:
			return proof{}, fmt.Errorf("%s has more than %d bytes", c.name, c.longest)
		}
		*c.into = value
	}
	var ok bool
	if p.issued, ok, err = claims.Time("iat"); err != nil {
		return proof{}, err
	} else if !ok {
		return proof{}, errors.New("there is no iat")
	}
	// RFC 7519, section 4.1, binds a JWT that has these.
	if p.expires, p.hasExpiry, err = claims.Time("exp"); err != nil {
		return proof{}, err
	}
	if p.notBefore, _, err = claims.Time("nbf"); err != nil {
		return proof{}, err
	}
	return p, nil
}
