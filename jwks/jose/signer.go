package jose

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
)

// Signer is a private key that signs tokens with one algorithm. It is safe for
// concurrent use if its crypto.Signer is. The zero Signer signs nothing.
type Signer struct {
	key      *Key
	private  crypto.Signer
	header   atomic.Pointer[encodedHeader] // of Sign
	embedded atomic.Pointer[encodedHeader] // of SignEmbedded
}

// encodedHeader is the first part, with its dot, of every token of a signer and a
// typ.
type encodedHeader struct{ typ, text string }

// NewSigner makes a Signer from a private key, which may be in a KMS or an HSM.
// An empty alg means the default that [NewKey] chooses. The key id is the SHA-256
// thumbprint of RFC 7638.
//
// Not checked: that private can sign.
func NewSigner(private crypto.Signer, alg string) (*Signer, error) {
	if v := reflect.ValueOf(private); private == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("jose: nil signer")
	}
	if k, ok := private.(ed25519.PrivateKey); ok && len(k) != ed25519.PrivateKeySize { // Public would panic
		return nil, fmt.Errorf("jose: an Ed25519 key of %d bytes", len(k))
	}
	key, err := newKey(private.Public(), alg, "")
	if err != nil {
		return nil, fmt.Errorf("jose: signing key: %w", err)
	}
	return &Signer{key: key, private: private}, nil
}

// Key returns the public half, nil for the zero Signer.
func (s *Signer) Key() *Key {
	if s == nil {
		return nil
	}
	return s.key
}

// Named returns a Signer of the same key with another key id, for a server that has the
// key under a name of its own. The id is at most 256 bytes of printable ASCII without
// quotes and backslashes.
func (s *Signer) Named(kid string) (*Signer, error) {
	if s == nil || s.key == nil {
		return nil, errors.New("jose: no key to name")
	}
	if kid == "" || strings.ContainsFunc(kid, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return nil, fmt.Errorf("jose: the key id %.40q is empty or has characters that are not allowed", kid)
	}
	key, err := s.key.alg.key(s.key.public, kid)
	if err != nil {
		return nil, fmt.Errorf("jose: %w", err)
	}
	return &Signer{key: key, private: s.private}, nil
}

// Sign makes a compact JWS (RFC 7515, section 7.1) of the payload. typ is the
// header's typ, such as "at+jwt": letters, digits, and any of + - . / _.
func (s *Signer) Sign(typ string, payload []byte) (string, error) {
	if s == nil || s.key == nil {
		return "", errors.New("jose: no key to sign with")
	}
	header := s.header.Load()
	if header == nil || header.typ != typ {
		// None of the three holds a character that JSON escapes.
		member := `"kid":"` + s.key.id + `"`
		var err error
		if header, err = s.encodeHeader(typ, member); err != nil {
			return "", err
		}
		s.header.Store(header)
	}
	return s.sign(header, payload)
}

// SignEmbedded is [Signer.Sign] with the public key in the header (jwk) in place of its
// id, as a DPoP proof has it (RFC 9449, section 4.2).
func (s *Signer) SignEmbedded(typ string, payload []byte) (string, error) {
	if s == nil || s.key == nil {
		return "", errors.New("jose: no key to sign with")
	}
	header := s.embedded.Load()
	if header == nil || header.typ != typ {
		jwk, err := writeJWK(s.key.public, nil)
		if err != nil {
			return "", fmt.Errorf("jose: writing the public key: %w", err)
		}
		if header, err = s.encodeHeader(typ, `"jwk":`+string(jwk)); err != nil {
			return "", err
		}
		s.embedded.Store(header)
	}
	return s.sign(header, payload)
}

// encodeHeader makes a header with alg, typ and one more member.
func (s *Signer) encodeHeader(typ, member string) (*encodedHeader, error) {
	if !isType(typ) {
		return nil, fmt.Errorf("jose: typ %q: only letters, digits and + - . / _", typ)
	}
	plain := `{"alg":"` + s.key.alg.name + `",` + member + `,"typ":"` + typ + `"}`
	return &encodedHeader{typ, base64url.EncodeToString([]byte(plain)) + "."}, nil
}

func (s *Signer) sign(header *encodedHeader, payload []byte) (string, error) {
	size := len(header.text) + base64url.EncodedLen(len(payload)) + 1 + base64url.EncodedLen(s.key.alg.signatureSize(s.key.public))
	token := append(make([]byte, 0, size), header.text...)
	token = base64url.AppendEncode(token, payload)
	signature, err := s.key.alg.sign(s.private, token)
	if err != nil {
		return "", fmt.Errorf("jose: signing: %w", err)
	}
	return string(base64url.AppendEncode(append(token, '.'), signature)), nil
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

// ParseSigner reads a private JWK that [Signer.MarshalPrivate] wrote: its kid must
// be its thumbprint, its alg one of this package's. A missing alg means the default
// that [NewKey] chooses. The private half must be that
// of the public half, which one signature proves. No error quotes the key.
func ParseSigner(jwk []byte) (*Signer, error) {
	private, err := readPrivate(jwk)
	if err != nil {
		return nil, fmt.Errorf("jose: %w", err)
	}
	// A kid or alg that is not a string counts as missing.
	members, err := ParseObject(string(jwk))
	if err != nil {
		return nil, err
	}
	kid, _, _ := members.String("kid")
	alg, _, _ := members.String("alg")
	s, err := NewSigner(private, alg)
	if err != nil {
		return nil, err
	}
	if s.key.id != kid {
		return nil, errors.New("jose: the kid of the private key is not its thumbprint")
	}
	// Neither jwx nor crypto/* notices a damaged private half.
	probe, err := s.key.alg.sign(s.private, []byte(kid))
	if err != nil || s.key.alg.verify(s.key.public, []byte(kid), probe) != nil {
		return nil, errors.New("jose: the private half is not that of the public half")
	}
	return s, nil
}

// MarshalPrivate writes the private key as a JWK with kid and alg, in the clear. A
// key in a KMS cannot be written.
func (s *Signer) MarshalPrivate() ([]byte, error) {
	if s == nil || s.key == nil {
		return nil, errors.New("jose: no key to write")
	}
	raw, err := writeJWK(s.private, map[string]string{"kid": s.key.id, "alg": s.key.alg.name})
	if err != nil {
		return nil, errors.New("jose: the private key cannot be written") // jwx's error may quote it
	}
	return raw, nil
}
