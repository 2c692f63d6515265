package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"sync"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// dummyKey returns a key for the algorithm that verifies no assertion. Checking with it
// costs what it costs with a client's key, so the time of a refusal does not tell whether
// there is one.
func dummyKey(alg string) *jose.Key { return dummyKeys()[alg] }

var dummyKeys = sync.OnceValue(func() map[string]*jose.Key {
	keys := map[string]*jose.Key{}
	for _, alg := range jose.Algorithms() {
		if key, err := jose.NewKey(dummyPublic(alg), alg, ""); err == nil {
			keys[alg] = key
		}
	}
	return keys
})

func dummyPublic(alg string) crypto.PublicKey {
	curve := elliptic.P256()
	switch {
	case alg == "ES384":
		curve = elliptic.P384()
	case alg == "ES512":
		curve = elliptic.P521()
	case strings.HasPrefix(alg, "Ed"):
		public, _, _ := ed25519.GenerateKey(rand.Reader) // never fails (crypto/rand)
		return public
	case !strings.HasPrefix(alg, "ES"):
		// Nobody needs the private key, so the modulus need not have known factors.
		modulus := make([]byte, 256)
		_, _ = rand.Read(modulus) // never fails (crypto/rand)
		modulus[0] |= 0x80
		modulus[len(modulus)-1] |= 1
		return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	}
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil
	}
	return &private.PublicKey
}
