package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
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

// canonical returns an Ed25519 or RSA key if its spelling is canonical, or else nil.
func (o *Object) canonical() crypto.PublicKey {
	switch kty, _ := o.stated("kty"); kty {
	case "OKP":
		crv, _ := o.stated("crv")
		x, ok := o.octets(nil, "x")
		if crv == "Ed25519" && ok && len(x) == ed25519.PublicKeySize {
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

// canonicalEC returns an EC key if its spelling is canonical and its point is on the
// curve, or else nil. The coordinates have their full length, zeros included (RFC 7518,
// section 6.2.1.2).
func (o *Object) canonicalEC() *ecdsa.PublicKey {
	if kty, _ := o.stated("kty"); kty != "EC" {
		return nil
	}
	var curve elliptic.Curve
	switch crv, _ := o.stated("crv"); crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	var buffer [1 + 2*66]byte
	point := append(buffer[:0], 4) // uncompressed (SEC 1, section 2.3.3)
	point, okX := o.octets(point, "x")
	if !okX || len(point) != 1+size {
		return nil
	}
	point, okY := o.octets(point, "y")
	if !okY || len(point) != 1+2*size {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil
	}
	return key
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
		size := (p.Params().BitSize + 7) / 8
		var coordinate [66]byte
		text = append(text, `{"crv":"`+p.Params().Name+`","kty":"EC","x":"`...)
		//lint:ignore SA1019 Bytes checks again that the point is on the curve, which takes 1 µs
		text = append(base64url.AppendEncode(text, p.X.FillBytes(coordinate[:size])), `","y":"`...) //nolint:staticcheck // SA1019: Bytes checks again that the point is on the curve, which takes 1 µs
		//lint:ignore SA1019 as above
		text = append(base64url.AppendEncode(text, p.Y.FillBytes(coordinate[:size])), `"}`...) //nolint:staticcheck // SA1019: as above
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
