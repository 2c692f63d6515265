package pop

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// proofType is the typ of a proof (RFC 9449, section 4.2).
const proofType = "dpop+jwt"

// Prover makes the DPoP proofs of a client, all with one key. It is safe for concurrent
// use if its crypto.Signer is. The zero Prover makes none.
type Prover struct{ signer *jose.Signer }

// NewProver makes a Prover from a private key, which may be in a KMS or an HSM. An
// empty alg means the algorithm of the key's curve, EdDSA for Ed25519, or PS256 for
// RSA. Servers tell which algorithms they take; see [Verifier.Algorithms]. ES256 is the
// usual one.
func NewProver(private crypto.Signer, alg string) (*Prover, error) {
	if v := reflect.ValueOf(private); private == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("pop: NewProver: a nil key")
	}
	if _, ok := private.(*rsa.PrivateKey); ok && alg == "" {
		alg = "PS256" // RS256 is not one of the FAPI 2.0 Security Profile
	}
	signer, err := jose.NewSigner(private, alg)
	if err != nil {
		return nil, fmt.Errorf("pop: NewProver: %w", err)
	}
	return &Prover{signer}, nil
}

// Thumbprint returns the SHA-256 thumbprint of the public key (RFC 7638): the jkt of
// the tokens that an issuer binds to it. The zero Prover has none.
func (p *Prover) Thumbprint() string {
	if p == nil {
		return ""
	}
	return p.signer.Key().Thumbprint()
}

// claims are those of a proof (RFC 9449, section 4.2).
type claims struct {
	ID        string `json:"jti"`
	Method    string `json:"htm"`
	URL       string `json:"htu"`
	IssuedAt  int64  `json:"iat"`
	TokenHash string `json:"ath,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
}

// Proof makes the DPoP header of one request. Each request needs a new one, and so does
// each retry. url is the URL of the request, as the String method of net/url.URL writes
// it; query and fragment are left out of the proof. accessToken is the token that the
// request carries, "" at a token endpoint. nonce is the last DPoP-Nonce header that the
// server has sent, "" if there was none.
func (p *Prover) Proof(method, url, accessToken, nonce string) (string, error) {
	return p.ProofAt(time.Now(), method, url, accessToken, nonce)
}

// ProofAt is [Prover.Proof] with the time of the server, for a client whose own clock may
// be wrong. Servers refuse a proof of the future, and an old one.
func (p *Prover) ProofAt(at time.Time, method, url, accessToken, nonce string) (string, error) {
	if p == nil || p.signer == nil {
		return "", errors.New("pop: no key to prove with")
	}
	if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("pop: %.20q is not an HTTP method", method)
	}
	origin, path, ok := splitTarget(url)
	if !ok {
		return "", errors.New("pop: not an absolute http or https URL with a host in ASCII: write an international name in its xn-- form")
	}
	// The path stays as it is sent: not every server normalises it.
	if _, ok := appendPath(nil, path); !ok || strings.ContainsFunc(path, func(r rune) bool { return r > '~' }) {
		return "", errors.New("pop: the path of the URL is not escaped")
	}
	if !isNonce(nonce) {
		return "", errors.New("pop: the nonce has a character that a nonce may not have")
	}
	payload, err := json.Marshal(claims{
		ID: rand.Text(), Method: method, URL: origin + path, IssuedAt: at.Unix(),
		TokenHash: tokenHash(accessToken), Nonce: nonce,
	})
	if err != nil {
		return "", fmt.Errorf("pop: %w", err)
	}
	proof, err := p.signer.SignEmbedded(proofType, payload)
	if err != nil {
		return "", fmt.Errorf("pop: %w", err)
	}
	return proof, nil
}

// tokenHash returns the ath of an access token, "" for none.
func tokenHash(token string) string {
	if token == "" {
		return ""
	}
	var buffer [2048]byte // on the stack for most tokens
	sum := sha256.Sum256(append(buffer[:0], token...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// isNonce holds a nonce against RFC 9449, section 8.1.
func isNonce(nonce string) bool {
	for i := range len(nonce) {
		if c := nonce[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(nonce) <= maxNonce
}
