package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"
)

const (
	minRSABits = 2048 // RFC 7518, sections 3.3 and 3.5
	maxRSABits = 8192 // beyond it one verification costs milliseconds
)

// algorithm is one row of the closed list of signature algorithms (RFC 7518,
// section 3.1; RFC 8037, section 3.1). HMAC and "none" have no row, so no key can
// have them and no header can name them.
type algorithm struct {
	name  string
	kind  byte           // 'E' ECDSA, 'O' Ed25519, 'R' RSASSA-PKCS1-v1_5, 'P' RSASSA-PSS
	hash  crypto.Hash    // none for Ed25519
	curve elliptic.Curve // for ECDSA
}

var algorithms = func() map[string]*algorithm {
	table := map[string]*algorithm{
		"ES256":   {kind: 'E', hash: crypto.SHA256, curve: elliptic.P256()},
		"ES384":   {kind: 'E', hash: crypto.SHA384, curve: elliptic.P384()},
		"ES512":   {kind: 'E', hash: crypto.SHA512, curve: elliptic.P521()},
		"EdDSA":   {kind: 'O'},
		"Ed25519": {kind: 'O'}, // RFC 9864: the name that includes the curve
		"PS256":   {kind: 'P', hash: crypto.SHA256},
		"PS384":   {kind: 'P', hash: crypto.SHA384},
		"PS512":   {kind: 'P', hash: crypto.SHA512},
		"RS256":   {kind: 'R', hash: crypto.SHA256},
		"RS384":   {kind: 'R', hash: crypto.SHA384},
		"RS512":   {kind: 'R', hash: crypto.SHA512},
	}
	for name, a := range table {
		a.name = name
	}
	return table
}()

// Algorithms returns the names of all algorithms, the default first.
func Algorithms() []string {
	return []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
}

// Generate makes a new private key for an algorithm. RSA keys have 2048 bits.
func Generate(alg string) (crypto.Signer, error) {
	a := algorithms[alg]
	if a == nil {
		return nil, fmt.Errorf("jose: algorithm %.40q: write one of %s", alg, strings.Join(Algorithms(), ", "))
	}
	private, err := a.generate()
	if err != nil {
		return nil, fmt.Errorf("jose: making a key: %w", err)
	}
	return private, nil
}

// named reports whether a token header's alg is this algorithm. EdDSA and Ed25519
// are two names of one algorithm (RFC 9864, section 2.2).
func (a *algorithm) named(alg string) bool {
	return alg == a.name || (a.kind == 'O' && (alg == "EdDSA" || alg == "Ed25519"))
}

// fits returns why a public key cannot be used with the algorithm, or nil.
func (a *algorithm) fits(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if a.kind != 'E' || p == nil || p.Curve != a.curve {
			break
		}
		//lint:ignore SA1019 without a point, every method of the key panics
		if p.X == nil || p.Y == nil { //nolint:staticcheck // SA1019: without a point, every method of the key panics
			return errors.New("the key has no point")
		}
		if _, err := p.ECDH(); err != nil { // refuses a point off the curve
			return errors.New("the point is not on the curve")
		}
		return nil
	case ed25519.PublicKey:
		if a.kind != 'O' || len(p) != ed25519.PublicKeySize {
			break
		}
		if hasSmallOrder(p) {
			return errors.New("anybody can sign for the key: its point has small order")
		}
		return nil
	case *rsa.PublicKey:
		if (a.kind != 'R' && a.kind != 'P') || p == nil || p.N == nil {
			break
		}
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA keys have %d to %d bits, this one %d", minRSABits, maxRSABits, bits)
		}
		if p.N.Sign() < 0 || p.N.Bit(0) == 0 {
			return errors.New("the RSA modulus is negative or even")
		}
		if p.E < 3 || p.E&1 == 0 || p.E > 1<<31-1 { // as crypto/rsa requires
			return errors.New("the RSA exponent is not an odd number from 3 to 2^31-1")
		}
		return nil
	}
	return fmt.Errorf("a %T cannot be used with %s", public, a.name)
}

// digest returns the hash of what is signed.
func (a *algorithm) digest(signed []byte) []byte {
	switch a.hash {
	case crypto.SHA256:
		sum := sha256.Sum256(signed)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(signed)
		return sum[:]
	default:
		sum := sha512.Sum512(signed)
		return sum[:]
	}
}

var errSignature = errors.New("it does not match")

// verify checks a signature.
func (a *algorithm) verify(public crypto.PublicKey, signed, signature []byte) error {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if a.kind != 'E' {
			break
		}
		if der, err := a.toASN1(signature); err == nil && ecdsa.VerifyASN1(key, a.digest(signed), der) {
			return nil
		}
		return errSignature
	case ed25519.PublicKey:
		if a.kind == 'O' && ed25519.Verify(key, signed, signature) {
			return nil
		}
		return errSignature
	case *rsa.PublicKey:
		switch a.kind {
		case 'R':
			return rsa.VerifyPKCS1v15(key, a.hash, a.digest(signed), signature)
		case 'P': // RFC 7518, section 3.5: the salt is as long as the hash
			return rsa.VerifyPSS(key, a.hash, a.digest(signed), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	}
	return fmt.Errorf("a %T is no key for %s", public, a.name)
}

// sign makes a signature in the form of a JWS. private may be in a KMS. A key of
// crypto/* must be used by its original pointer: the standard library caches
// precomputed values per pointer, and a copy signs slower.
func (a *algorithm) sign(private crypto.Signer, signed []byte) ([]byte, error) {
	switch a.kind {
	case 'O':
		return private.Sign(rand.Reader, signed, crypto.Hash(0))
	case 'P':
		return private.Sign(rand.Reader, a.digest(signed), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash})
	case 'R':
		return private.Sign(rand.Reader, a.digest(signed), a.hash)
	}
	encoded, err := private.Sign(rand.Reader, a.digest(signed), a.hash)
	if err != nil {
		return nil, err
	}
	return a.fromASN1(encoded)
}

// signatureSize returns the length of a key's signatures in bytes.
func (a *algorithm) signatureSize(public crypto.PublicKey) int {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		return 2 * a.scalarSize()
	case *rsa.PublicKey:
		return key.Size()
	default:
		return ed25519.SignatureSize
	}
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

// defaultAlgorithm returns the algorithm of a key that names none: the one of its
// curve, and RS256 for RSA, because that is what issuers that omit alg mean.
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
