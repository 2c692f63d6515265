package jose

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"sync"
	"testing"
)

// sure returns the value. An error means that the test itself is broken.
func sure[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Each algorithm has a test key, and another key that is in no key set. RSA keys take
// long to make, so all RSA algorithms share one of each.
var (
	testKeys  = sync.OnceValue(makeTestKeys)
	otherKeys = sync.OnceValue(makeTestKeys)
)

func makeTestKeys() map[string]*Signer {
	keys := map[string]*Signer{}
	made := map[byte]crypto.Signer{}
	for name, a := range algorithms {
		kind := a.kind
		if kind == 'P' {
			kind = 'R'
		}
		private := made[kind]
		if private == nil {
			private = sure(Generate(name))
		}
		if kind == 'R' {
			made[kind] = private
		}
		keys[name] = sure(NewSigner(private, name))
	}
	return keys
}

// fuzzKey is the same key in each run, so that a corpus stays valid.
func fuzzKey() *Signer {
	return sure(NewSigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "EdDSA"))
}

// published is the JWK set of these keys.
func published(keys ...*Key) []byte {
	return sure(sure(NewSet(keys...)).MarshalJSON())
}

func encode(part string) string { return base64.RawURLEncoding.EncodeToString([]byte(part)) }

// compact signs two encoded parts as they are, even if they are not canonical.
func compact(tb testing.TB, header, payload string, k *Signer) string {
	tb.Helper()
	input := header + "." + payload
	signature, err := k.key.alg.sign(k.private, []byte(input))
	if err != nil {
		tb.Fatal(err)
	}
	return input + "." + encode(string(signature))
}

// accept is Parse and Verify.
func accept(token string, k *Key) (string, error) {
	parsed, err := Parse(token, 0)
	if err != nil {
		return "", err
	}
	return parsed.Verify(k)
}
