package jose

import (
	"crypto"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// This file and jwk.go are the only ones that import jwx. Here jwx is the counterpart
// for signatures.

func jwxName(alg string) jwa.SignatureAlgorithm {
	if alg == "Ed25519" {
		return jwa.EdDSA
	}
	return jwa.SignatureAlgorithm(alg)
}

func jwxVerify(alg string, signed, signature []byte, public crypto.PublicKey) error {
	return sure(jws.NewVerifier(jwxName(alg))).Verify(signed, signature, public)
}

func jwxSign(alg string, signed []byte, private crypto.Signer) []byte {
	return sure(sure(jws.NewSigner(jwxName(alg))).Sign(signed, private))
}

func jwxThumbprint(public crypto.PublicKey) string {
	return encode(string(sure(sure(jwk.FromRaw(public)).Thumbprint(crypto.SHA256))))
}
