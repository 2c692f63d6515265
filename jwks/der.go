package jwks

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A JWS has an ECDSA signature as r and s, each as long as the curve's order,
// one after the other (RFC 7518 §3.4). crypto/ecdsa, and any crypto.Signer, has
// them as the ASN.1 of RFC 3279 §2.2.3.
func (a *algorithm) scalarSize() int { return (a.curve.Params().N.BitLen() + 7) / 8 }

// der writes r || s as ASN.1. It is false for one of another length.
func (a *algorithm) der(signature []byte) ([]byte, bool) {
	size := a.scalarSize()
	if len(signature) != 2*size {
		return nil, false
	}
	r, s := derInteger(signature[:size]), derInteger(signature[size:])
	length := r.len() + s.len()
	dst := append(make([]byte, 0, 3+length), 0x30)
	if length > 127 {
		dst = append(dst, 0x81)
	}
	dst = append(dst, byte(length))
	return s.append(r.append(dst)), true
}

// derInteger is a positive number, big-endian.
type derInteger []byte

func (n derInteger) minimal() (digits []byte, pad bool) {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	return n, n[0]&0x80 != 0 // it would be taken for a negative one
}

func (n derInteger) len() int {
	digits, pad := n.minimal()
	if pad {
		return 2 + 1 + len(digits)
	}
	return 2 + len(digits)
}

func (n derInteger) append(dst []byte) []byte {
	digits, pad := n.minimal()
	dst = append(dst, 0x02, byte(n.len()-2))
	if pad {
		dst = append(dst, 0)
	}
	return append(dst, digits...)
}

// fromDER reads the ASN.1 of a signature into r || s.
func (a *algorithm) fromDER(encoded []byte) ([]byte, error) {
	var r, s []byte
	input, inner := cryptobyte.String(encoded), cryptobyte.String(nil)
	size := a.scalarSize()
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > size || len(s) > size {
		return nil, errors.New("the signer's answer is no ECDSA signature")
	}
	signature := make([]byte, 2*size)
	copy(signature[size-len(r):], r)
	copy(signature[2*size-len(s):], s)
	return signature, nil
}
