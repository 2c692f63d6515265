package jwks

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
)

const defaultMaxToken = 16 << 10

// The alphabet of RFC 7515 §2: base64url, no padding, and, being Strict, no
// second spelling by way of trailing bits. Go's decoder still skips CR and LF;
// Parse looks for those itself.
var base64url = base64.RawURLEncoding.Strict()

// JWS is a token whose form has been checked and whose signature has not.
// Nothing it says is true until [JWS.Verify] says so.
type JWS struct {
	header *header
	rest   string // payload "." signature, as received
	dot    int    // the one in rest
}

// Parse reads a compact JWS (RFC 7515 §7.1) and decodes its header, and only
// that. maxBytes bounds the token; 0 means 16 KiB.
//
// It refuses, without decoding anything, what does not have three non-empty
// parts (so JWE and the JSON serialisations); and then padding, white space,
// non-canonical base64url, a header that is not one JSON object with unique
// member names, an alg that is not one of this package's, any crit (RFC 7515
// §4.1.11 lets no one ignore it, and none is understood), b64 (RFC 7797), and a
// kid that is not printable ASCII of at most 256 bytes. Keys or addresses of
// keys in a header (jwk, jku, x5u, x5c) are never looked at.
//
// Not checked: the signature, typ, and everything in the payload. Whether the
// second and third parts are canonical base64url is found out by [JWS.Verify].
func Parse(token string, maxBytes int) (JWS, error) {
	if maxBytes <= 0 {
		maxBytes = defaultMaxToken
	}
	if len(token) > maxBytes {
		return JWS{}, fmt.Errorf("jwks: token of %d bytes, more than %d", len(token), maxBytes)
	}
	// Cut looks for one byte at a time, which is quick; a token of letters or of
	// dots is refused in a microsecond.
	first, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if first == "" || payload == "" || signature == "" || strings.IndexByte(signature, '.') >= 0 {
		return JWS{}, errShape
	}
	if strings.IndexByte(token, '\n') >= 0 || strings.IndexByte(token, '\r') >= 0 {
		return JWS{}, errors.New("jwks: line break in a token")
	}
	h, err := parseHeader(first)
	if err != nil {
		return JWS{}, fmt.Errorf("jwks: token header: %w", err)
	}
	return JWS{header: h, rest: rest, dot: len(payload)}, nil
}

var errShape = errors.New("jwks: not a compact JWS of three non-empty parts")

// Algorithm is the header's alg. It is for messages; the key decides.
func (t *JWS) Algorithm() string { return t.head().alg }

// KeyID is the header's kid, "" when it has none.
func (t *JWS) KeyID() string { return t.head().kid }

// Type is the header's typ as sent, "" when it has none.
func (t *JWS) Type() string { return t.head().typ }

func (t *JWS) head() *header {
	if t.header == nil { // the zero JWS
		return &header{}
	}
	return t.header
}

// Verify checks the signature against the key and returns the decoded payload.
// The header's alg must be the key's.
//
// Not checked: that the payload is JSON, and every claim in it.
func (t *JWS) Verify(k *Key) (payload string, err error) {
	if k == nil || k.alg == nil || t.header == nil {
		return "", errors.New("jwks: no key to verify with, or no token")
	}
	if !k.alg.named(t.header.alg) {
		return "", fmt.Errorf("jwks: the token says %s, its key is for %s", t.header.alg, k.alg.name)
	}
	// What is signed, and after it what is decoded: on the stack, mostly.
	var buffer [1536]byte
	first := len(t.header.encoded) + 1
	token := append(append(append(buffer[:0], t.header.encoded...), '.'), t.rest...)
	signature, err := base64url.AppendDecode(token[len(token):], token[first+t.dot+1:])
	if err != nil {
		return "", fmt.Errorf("jwks: token signature: %w", err)
	}
	if err := k.alg.verify(k.public, token[:first+t.dot], signature); err != nil {
		return "", fmt.Errorf("jwks: signature: %w", err)
	}
	decoded, err := base64url.AppendDecode(token[len(token):], token[first:first+t.dot])
	if err != nil {
		return "", fmt.Errorf("jwks: token payload: %w", err)
	}
	t.header.remember()
	return string(decoded), nil
}

// signingKey is a private key with what its tokens' headers say.
type signingKey struct {
	*Key
	private crypto.Signer
	header  atomic.Pointer[signingHeader]
}

// signingHeader is the first part of every token of a key and a typ, with its
// dot.
type signingHeader struct{ typ, encoded string }

func newSigningKey(private crypto.Signer, alg string) (*signingKey, error) {
	if v := reflect.ValueOf(private); private == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("jwks: nil signer")
	}
	key, err := newKey(private.Public(), alg, "")
	if err != nil {
		return nil, fmt.Errorf("jwks: signing key: %w", err)
	}
	return &signingKey{Key: key, private: private}, nil
}

// appendSign appends a compact JWS of the payload.
func (k *signingKey) appendSign(dst []byte, typ string, payload []byte) ([]byte, error) {
	header := k.header.Load()
	if header == nil || header.typ != typ {
		if !isType(typ) {
			return nil, fmt.Errorf("jwks: typ %q: only letters, digits and + - . / _", typ)
		}
		// None of the three holds a character that JSON escapes.
		plain := `{"alg":"` + k.alg.name + `","kid":"` + k.id + `","typ":"` + typ + `"}`
		header = &signingHeader{typ, base64url.EncodeToString([]byte(plain)) + "."}
		k.header.Store(header)
	}
	start := len(dst)
	dst = slices.Grow(dst, len(header.encoded)+base64url.EncodedLen(len(payload))+1+base64url.EncodedLen(k.alg.signatureSize(k.public)))
	dst = append(dst, header.encoded...)
	dst = base64url.AppendEncode(dst, payload)
	signature, err := k.alg.sign(k.private, dst[start:])
	if err != nil {
		return nil, fmt.Errorf("jwks: signing: %w", err)
	}
	return base64url.AppendEncode(append(dst, '.'), signature), nil
}

func isType(typ string) bool {
	for i := range len(typ) {
		c := typ[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("+-./_", c) < 0 {
			return false
		}
	}
	return true
}

// Sign makes a compact JWS (RFC 7515 §7.1) of the payload with the key that
// signs now. typ is the header's typ, such as "at+jwt": letters, digits, and
// any of + - . / _. The error is [ErrUnavailable] when no key may sign.
func (r *Keyring) Sign(ctx context.Context, typ string, payload []byte) (string, error) {
	token, err := r.AppendSign(ctx, nil, typ, payload)
	return string(token), err
}

// AppendSign is [Keyring.Sign], appending to dst. With an error it gives nil.
func (r *Keyring) AppendSign(ctx context.Context, dst []byte, typ string, payload []byte) ([]byte, error) {
	key, err := r.signing(ctx)
	if err != nil {
		return nil, err
	}
	return key.appendSign(dst, typ, payload)
}
