package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// A verifier of DPoP proofs reads a key and computes its thumbprint at every request.
// Doing both here takes 3 µs. jwx takes 27 µs, a quarter of the request.

// public reads the public key. The canonical spelling of RFC 7518, section 6, is read
// here. Other spellings, such as padded base64, are left to jwx.
func (o *Object) public() (crypto.PublicKey, error) {
	if key := o.canonical(); key != nil {
		return key, nil
	}
	material, err := o.material()
	if err != nil {
		return nil, err
	}
	return readPublic(material)
}

// canonical returns the public key if its spelling is canonical and it can be used,
// or else nil.
func (o *Object) canonical() crypto.PublicKey {
	kty, err := o.stated("kty")
	if err != nil {
		return nil
	}
	switch kty {
	case "EC":
		if key, err := o.canonicalEC(); err == nil {
			return key
		}
	case "OKP":
		crv, err := o.stated("crv")
		x, ok := o.octets(nil, "x")
		if err == nil && crv == "Ed25519" && ok && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	case "RSA":
		n, okN := o.octets(nil, "n")
		e, okE := o.octets(nil, "e")
		if okN && okE && n[0] != 0 && e[0] != 0 && len(e) <= 4 {
			return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		}
	}
	return nil
}

var errNotCanonical = errors.New("not in the canonical spelling")

// canonicalEC reads a point whose coordinates have their full length, zeros included
// (RFC 7518, section 6.2.1.2).
func (o *Object) canonicalEC() (crypto.PublicKey, error) {
	crv, err := o.stated("crv")
	if err != nil {
		return nil, err
	}
	var curve elliptic.Curve
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if c.Params().Name == crv {
			curve = c
		}
	}
	if curve == nil {
		return nil, errNotCanonical
	}
	size := (curve.Params().BitSize + 7) / 8
	var buffer [1 + 2*66]byte
	point := append(buffer[:0], 4) // uncompressed (SEC 1, section 2.3.3)
	point, okX := o.octets(point, "x")
	if !okX || len(point) != 1+size {
		return nil, errNotCanonical
	}
	point, okY := o.octets(point, "y")
	if !okY || len(point) != 1+2*size {
		return nil, errNotCanonical
	}
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

// octets appends a member that is canonical base64url of at least one byte.
func (o *Object) octets(to []byte, name string) ([]byte, bool) {
	text, err := o.stated(name)
	if err != nil || text == "" || strings.ContainsAny(text, "\r\n") {
		return to, false
	}
	decoded, err := base64url.AppendDecode(to, []byte(text))
	return decoded, err == nil && len(decoded) > len(to)
}

// thumbprint returns the SHA-256 thumbprint of RFC 7638, base64url: the hash of the
// required members, in the order of their names and without white space.
func thumbprint(public crypto.PublicKey) (string, error) {
	var buffer [256]byte
	text := buffer[:0]
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			return "", err
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		text = append(text, `{"crv":"`+p.Params().Name+`","kty":"EC","x":"`...)
		text = append(base64url.AppendEncode(text, x), `","y":"`...)
		text = append(base64url.AppendEncode(text, y), `"}`...)
	case ed25519.PublicKey:
		text = append(text, `{"crv":"Ed25519","kty":"OKP","x":"`...)
		text = append(base64url.AppendEncode(text, p), `"}`...)
	case *rsa.PublicKey:
		text = append(text, `{"e":"`...)
		text = append(base64url.AppendEncode(text, big.NewInt(int64(p.E)).Bytes()), `","kty":"RSA","n":"`...)
		text = append(base64url.AppendEncode(text, p.N.Bytes()), `"}`...)
	default:
		return "", fmt.Errorf("a %T has no thumbprint", public)
	}
	sum := sha256.Sum256(text)
	return base64url.EncodeToString(sum[:]), nil
}
