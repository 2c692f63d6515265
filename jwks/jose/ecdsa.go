package jose

import (
	"bytes"
	"errors"

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
	b := cryptobyte.NewBuilder(make([]byte, 0, len(signature)+16))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addInteger(b, signature[:size])
		addInteger(b, signature[size:])
	})
	return b.Bytes()
}

// addInteger writes a number that is not negative, big-endian.
func addInteger(b *cryptobyte.Builder, n []byte) {
	n = bytes.TrimLeft(n, "\x00")
	b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) {
		if len(n) == 0 || n[0]&0x80 != 0 { // else it would be read as a negative one
			b.AddUint8(0)
		}
		b.AddBytes(n)
	})
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
