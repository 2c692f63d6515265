package jwks_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// hsm is a signer whose private key never leaves a device. Your KMS or HSM library
// has such a type: a crypto.Signer.
type hsm struct{ private *ecdsa.PrivateKey }

func (h hsm) Public() crypto.PublicKey { return h.private.Public() }

func (h hsm) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return h.private.Sign(random, digest, opts)
}

func newHSM() hsm {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	return hsm{private}
}

// Keys that are kept elsewhere sign through their crypto.Signer. The first one signs.
// The others are published: the previous key, whose tokens are still valid, and the next
// one, which verifiers should know before it signs.
func ExampleNewKeyring() {
	current, previous, next := newHSM(), newHSM(), newHSM()
	keys, err := jwks.NewKeyring(current, previous, next)
	if err != nil {
		log.Fatal(err)
	}
	token, err := keys.Sign(context.Background(), "at+jwt", []byte(`{"sub":"reporter"}`))
	if err != nil {
		log.Fatal(err)
	}
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(parsed.Algorithm())
	fmt.Println(parsed.KeyID() == keys.Status().SigningKey)
	// Output:
	// ES256
	// true
}
