package pop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"
)

// signature signs what the strict signer of jose would not sign, such as an odd header.
func signature(tb testing.TB, alg, input string) []byte {
	tb.Helper()
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	var sum []byte
	if hash != 0 {
		h := hash.New()
		h.Write([]byte(input))
		sum = h.Sum(nil)
	}
	switch key := testKeys()[alg].(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input))
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			return sure(rsa.SignPSS(rand.Reader, key, hash, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return sure(rsa.SignPKCS1v15(rand.Reader, key, hash, sum))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum)
		if err != nil {
			tb.Fatal(err)
		}
		size := (key.Params().BitSize + 7) / 8
		raw := make([]byte, 2*size)
		r.FillBytes(raw[:size])
		s.FillBytes(raw[size:])
		return raw
	}
	tb.Fatalf("no key for %s", alg)
	return nil
}

// otherSignature turns the (r, s) of an ES256 signature into (r, n−s), which is valid too.
func otherSignature(raw []byte, n *big.Int) []byte {
	s := new(big.Int).SetBytes(raw[32:])
	other := make([]byte, 64)
	copy(other, raw[:32])
	s.Sub(n, s).FillBytes(other[32:])
	return other
}
