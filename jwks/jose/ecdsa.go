package jose

import (
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A JWS holds an ECDSA signature as r and s, each as long as the curve's order,
// one after the other (RFC 7518, section 3.4). crypto/ecdsa and any crypto.Signer
// use the ASN.1 of RFC 3279, section 2.2.3.
func (a *algorithm) scalarSize() int { return (a.curve.Params().N.BitLen() + 7) / 8 }

// toASN1 writes r || s as ASN.1.
func (a *algorithm) toASN1(signature []byte) ([]byte, error) {
	size := a.scalarSize()
	if len(signature) != 2*size {
		return nil, errSignature
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(signature[:size]))
		b.AddASN1BigInt(new(big.Int).SetBytes(signature[size:]))
	})
	return b.Bytes()
}

// fromASN1 reads the ASN.1 of a signature into r || s.
func (a *algorithm) fromASN1(encoded []byte) ([]byte, error) {
	var r, s []byte
	input, inner := cryptobyte.String(encoded), cryptobyte.String(nil)
	size := a.scalarSize()
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > size || len(s) > size {
		return nil, errors.New("the signer's answer is not an ECDSA signature")
	}
	signature := make([]byte, 2*size)
	copy(signature[size-len(r):], r)
	copy(signature[2*size-len(s):], s)
	return signature, nil
}
