package jose

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const defaultMaxToken = 16 << 10

// base64url is the alphabet of RFC 7515, section 2, without padding. Strict
// refuses a second spelling by trailing bits. Go's decoder still skips CR and LF,
// so Parse checks for those.
var base64url = base64.RawURLEncoding.Strict()

// JWS is a token whose form has been checked, and whose signature has not. Do not trust it
// before [JWS.Verify] returns nil. The zero JWS never verifies.
type JWS struct {
	token     string // as received
	payload   int    // where the second part starts
	signature int    // where the third part starts
	header    header
}

// Parse reads a compact JWS (RFC 7515, section 7.1) and decodes its header only.
// maxBytes bounds the token; 0 means 16 KiB.
//
// Before decoding anything it refuses what does not have three non-empty parts,
// such as JWE and the JSON serialisations. Then it refuses padding, white space,
// non-canonical base64url, a header that is not one JSON object with unique member
// names, an alg that is not one of [Algorithms], any crit (RFC 7515, section
// 4.1.11: it must not be ignored, and none is understood), b64 (RFC 7797), and a
// kid that is not printable ASCII of at most 256 bytes. A header has at most 16
// members, 64 values at all levels, and 8 KiB; alg and typ have at most 64
// bytes, so refusing a token costs less than a signature check. Parse never reads keys or
// addresses of keys in a header (jwk, jku, x5u, x5c); see [JWS.EmbeddedKey].
//
// Not checked: the signature, typ, and everything in the payload. [JWS.Verify]
// checks that the second and third parts are canonical base64url.
func Parse(token string, maxBytes int) (JWS, error) {
	if maxBytes <= 0 {
		maxBytes = defaultMaxToken
	}
	if len(token) > maxBytes {
		return JWS{}, fmt.Errorf("jose: token of %d bytes, more than %d", len(token), maxBytes)
	}
	// strings.Cut is quick for one byte: a token of letters or of dots is refused in a
	// microsecond.
	first, rest, _ := strings.Cut(token, ".")
	second, third, _ := strings.Cut(rest, ".")
	if first == "" || second == "" || third == "" || strings.IndexByte(third, '.') >= 0 {
		return JWS{}, errShape
	}
	if strings.IndexByte(token, '\n') >= 0 || strings.IndexByte(token, '\r') >= 0 {
		return JWS{}, errors.New("jose: line break in a token")
	}
	h, err := parseHeader(first)
	if err != nil {
		return JWS{}, fmt.Errorf("jose: token header: %w", err)
	}
	return JWS{token: token, payload: len(first) + 1, signature: len(token) - len(third), header: h}, nil
}

var errShape = errors.New("jose: not a compact JWS of three non-empty parts")

// Algorithm returns the header's alg. The key decides, not this.
func (t *JWS) Algorithm() string {
	if t == nil || t.header.alg == nil {
		return ""
	}
	return t.header.alg.name
}

// KeyID returns the header's kid, "" when it has none.
func (t *JWS) KeyID() string {
	if t == nil {
		return ""
	}
	return t.header.kid
}

// Type returns the header's typ as sent, "" when it has none.
func (t *JWS) Type() string {
	if t == nil {
		return ""
	}
	return t.header.typ
}

// EmbeddedKey returns the public key in the header (jwk), as [ParseKey] reads it, for the
// header's alg. The sender of the token chose it, so it is no reason to trust the token:
// it proves only that the sender has its private half, and only once [JWS.Verify] has
// accepted it. A DPoP proof (RFC 9449) has such a key. Elsewhere it must not be used.
func (t *JWS) EmbeddedKey() (*Key, error) {
	if t == nil || t.header.jwk == "" {
		return nil, errors.New("jose: no key in the header")
	}
	k, _, err := parseKeyFor(t.header.jwk, t.header.alg.name)
	if err != nil {
		return nil, fmt.Errorf("jose: key in the header: %w", err)
	}
	return k, nil
}

// UnverifiedPayload returns the decoded payload of a token whose signature NOBODY HAS
// CHECKED. Anyone can write such a token. Use it only to find whose key to verify with,
// such as by the iss of a client assertion; then call [JWS.Verify] and use what that
// returns.
func (t *JWS) UnverifiedPayload() (string, error) {
	if t == nil || t.header.alg == nil {
		return "", errors.New("jose: no token")
	}
	var buffer [1536]byte // on the stack for most tokens
	token := append(buffer[:0], t.token[t.payload:t.signature-1]...)
	decoded, err := base64url.AppendDecode(token[len(token):], token)
	if err != nil {
		return "", fmt.Errorf("jose: token payload: %w", err)
	}
	return string(decoded), nil
}

// Verify checks the signature with the key and returns the decoded payload. The
// header's alg must be the key's. If the second or third part is not canonical base64url,
// the error is a [base64.CorruptInputError].
//
// Not checked: that the payload is JSON, and every claim in it.
func (t *JWS) Verify(k *Key) (payload string, err error) {
	if !k.valid() || t == nil || t.header.alg == nil {
		return "", errors.New("jose: no key to verify with, or no token")
	}
	if !k.alg.named(t.header.alg.name) {
		return "", fmt.Errorf("jose: the token says %s, its key is for %s", t.header.alg.name, k.alg.name)
	}
	// One buffer, on the stack for most tokens: the token, then what is decoded.
	var buffer [1536]byte
	token := append(buffer[:0], t.token...)
	signature, err := base64url.AppendDecode(token[len(token):], token[t.signature:])
	if err != nil {
		return "", fmt.Errorf("jose: token signature: %w", err)
	}
	if err := k.Verify(token[:t.signature-1], signature); err != nil {
		return "", err
	}
	decoded, err := base64url.AppendDecode(token[len(token):], token[t.payload:t.signature-1])
	if err != nil {
		return "", fmt.Errorf("jose: token payload: %w", err)
	}
	return string(decoded), nil
}
