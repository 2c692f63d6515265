package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

const (
	minRSABits = 2048 // RFC 7518 §3.3 and §3.5
	maxRSABits = 8192 // beyond it one verification costs milliseconds
)

// algorithm is one row of the closed list of signature algorithms. HMAC and
// "none" have no row, so no key can carry them and no header can name them.
type algorithm struct {
	name     string
	curve    elliptic.Curve // for ECDSA
	hash     crypto.Hash    // for RSASSA-PSS
	kind     byte           // 'E' ECDSA, 'O' Ed25519, 'R' RSASSA-PKCS1, 'P' RSASSA-PSS
	verifier jws.Verifier
	signer   jws.Signer
}

var algorithms = func() map[string]*algorithm {
	table := map[string]*algorithm{
		"ES256":   {kind: 'E', curve: elliptic.P256()},
		"ES384":   {kind: 'E', curve: elliptic.P384()},
		"ES512":   {kind: 'E', curve: elliptic.P521()},
		"EdDSA":   {kind: 'O'},
		"Ed25519": {kind: 'O'}, // RFC 9864: the name that says which curve
		"PS256":   {kind: 'P', hash: crypto.SHA256},
		"PS384":   {kind: 'P', hash: crypto.SHA384},
		"PS512":   {kind: 'P', hash: crypto.SHA512},
		"RS256":   {kind: 'R'},
		"RS384":   {kind: 'R'},
		"RS512":   {kind: 'R'},
	}
	for name, a := range table {
		a.name = name
		id := jwa.SignatureAlgorithm(name)
		if a.kind == 'O' {
			id = jwa.EdDSA
		}
		// The names are jwx's own, so neither call can fail; if a later jwx
		// drops one, the row goes, and with it the algorithm.
		var err, err2 error
		a.verifier, err = jws.NewVerifier(id)
		a.signer, err2 = jws.NewSigner(id)
		if err != nil || err2 != nil {
			delete(table, name)
		}
	}
	return table
}()

// named reports whether a token header's alg is this algorithm. EdDSA and
// Ed25519 are two names of one (RFC 9864 §2.2).
func (a *algorithm) named(alg string) bool {
	return alg == a.name || (a.kind == 'O' && (alg == "EdDSA" || alg == "Ed25519"))
}

// fits says why a public key cannot be used with the algorithm, or nil.
func (a *algorithm) fits(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if a.kind != 'E' || p == nil || p.Curve != a.curve {
			break
		}
		if _, err := p.ECDH(); err != nil { // refuses a point off the curve
			return errors.New("the point is not on the curve")
		}
		return nil
	case ed25519.PublicKey:
		if a.kind != 'O' || len(p) != ed25519.PublicKeySize {
			break
		}
		return nil
	case *rsa.PublicKey:
		if (a.kind != 'R' && a.kind != 'P') || p == nil || p.N == nil {
			break
		}
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA keys have %d to %d bits, this one %d", minRSABits, maxRSABits, bits)
		}
		if p.N.Bit(0) == 0 {
			return errors.New("the RSA modulus is even")
		}
		if p.E < 3 || p.E&1 == 0 || p.E > 1<<31-1 { // as crypto/rsa wants it
			return errors.New("the RSA exponent is not an odd number from 3 to 2^31-1")
		}
		return nil
	}
	return fmt.Errorf("a %T cannot be used with %s", public, a.name)
}

func (a *algorithm) verify(public crypto.PublicKey, signed, signature []byte) error {
	if a.kind != 'P' {
		return a.verifier.Verify(signed, signature, public)
	}
	// jwx takes a PSS salt of any length. RFC 7518 §3.5 wants the hash's.
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return errors.New("not an RSA key")
	}
	h := a.hash.New()
	h.Write(signed)
	return rsa.VerifyPSS(key, a.hash, h.Sum(nil), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}

// generate makes a new private key for the algorithm.
func (a *algorithm) generate() (crypto.Signer, error) {
	switch a.kind {
	case 'E':
		return ecdsa.GenerateKey(a.curve, rand.Reader)
	case 'O':
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return rsa.GenerateKey(rand.Reader, minRSABits)
	}
}

// defaultAlgorithm is the algorithm of a key that names none: the one its curve
// allows, and for RSA RS256, which is what issuers that leave alg out mean.
func defaultAlgorithm(public crypto.PublicKey) string {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p == nil {
			break
		}
		switch p.Curve {
		case elliptic.P256():
			return "ES256"
		case elliptic.P384():
			return "ES384"
		case elliptic.P521():
			return "ES512"
		}
	case ed25519.PublicKey:
		return "EdDSA"
	case *rsa.PublicKey:
		return "RS256"
	}
	return ""
}
