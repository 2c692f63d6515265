package outbound

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"reflect"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// newSigner makes a signer. RSA keys sign with PS256 by default, because RS256 is not an
// algorithm of the FAPI 2.0 Security Profile.
func newSigner(key crypto.Signer, alg string) (*jose.Signer, error) {
	if isNilKey(key) {
		return nil, errors.New("a nil key")
	}
	if _, local := key.(ed25519.PrivateKey); !local && alg == "" { // Public of a broken one would panic
		if _, ok := key.Public().(*rsa.PublicKey); ok {
			alg = "PS256"
		}
	}
	return jose.NewSigner(key, alg)
}

func isNilKey(key crypto.Signer) bool {
	if key == nil {
		return true
	}
	v := reflect.ValueOf(key)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// isLocal reports whether a key is in the memory of this process, so that it signs at
// once.
func isLocal(key crypto.Signer) bool {
	switch key.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey:
		return true
	}
	return false
}
