package jwks

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// maxKeys bounds a key set. An issuer has a handful.
const maxKeys = 256

// keySet is what a JWK set document (RFC 7517 §5) gives: the keys that can
// verify a signature here, by key id. It is immutable.
type keySet struct {
	keys    map[string]*Key
	skipped int // members of the document that are not such keys
}

// parseSet reads a JWK set. A key that cannot be used (unknown type, symmetric,
// private, for encryption, too weak, a key id used twice) is skipped, since an
// issuer may publish keys for others; a document that is not a key set is an
// error. Keys that stand unchanged in previous keep their pointer.
func parseSet(document []byte, previous *keySet) (*keySet, error) {
	set, err := ParseClaims(string(document))
	if err != nil {
		return nil, fmt.Errorf("jwks: not a JWK set: %w", err)
	}
	// The members are taken from Claims, here and in parseKey: encoding/json
	// would take "KEYS" for "keys".
	member, _ := set.Raw("keys")
	var keys []json.RawMessage
	if err := json.Unmarshal(member, &keys); err != nil || keys == nil {
		return nil, errors.New(`jwks: not a JWK set: it has no "keys" array`)
	}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("jwks: the JWK set has %d keys, more than %d", len(keys), maxKeys)
	}
	s := &keySet{keys: make(map[string]*Key, len(keys))}
	twice := map[string]bool{}
	for _, raw := range keys {
		key, err := parseKey(raw)
		if err != nil {
			s.skipped++
			continue
		}
		if _, ok := s.keys[key.id]; ok {
			twice[key.id] = true // which of them is meant cannot be told
			s.skipped++
			continue
		}
		if previous != nil {
			if old := previous.keys[key.id]; old != nil && old.same(key) {
				key = old
			}
		}
		s.keys[key.id] = key
	}
	for kid := range twice {
		delete(s.keys, kid)
		s.skipped++
	}
	return s, nil
}

// parseKey reads one public JWK (RFC 7517 §4) that may verify signatures.
func parseKey(raw []byte) (*Key, error) {
	members, err := ParseClaims(string(raw))
	if err != nil {
		return nil, err
	}
	kid, _, err1 := members.String("kid")
	alg, _, err2 := members.String("alg")
	use, hasUse, err3 := members.String("use")
	ops, hasOps, err4 := members.Strings("key_ops")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	switch {
	case slices.ContainsFunc(privateMembers, members.Has):
		return nil, errors.New("the key is private or symmetric") // whoever published it gave it away
	case hasUse && use != "sig":
		return nil, errors.New("the key is not for signatures")
	case hasOps && !slices.Contains(ops, "verify"):
		return nil, errors.New("the key is not for verifying")
	case len(kid) > maxKeyID:
		return nil, errors.New("the key id is too long")
	}
	parsed, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, err
	}
	if p, ok := parsed.(jwk.RSAPublicKey); ok && len(bytes.TrimLeft(p.E(), "\x00")) > 4 {
		return nil, errors.New("the RSA exponent is too large") // jwx keeps its last 64 bits
	}
	public, err := rawPublic(parsed)
	if err != nil {
		return nil, err
	}
	return newKey(public, alg, kid)
}

// privateMembers are those that only a private or a symmetric key has (RFC 7518
// §6.2.2, §6.3.2 and §6.4, RFC 8037 §2).
var privateMembers = []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"}

// rawPublic gives the standard library's form of a public JWK.
func rawPublic(key jwk.Key) (crypto.PublicKey, error) {
	var raw any
	if err := key.Raw(&raw); err != nil {
		return nil, err
	}
	if p, ok := raw.(*ed25519.PublicKey); ok {
		return *p, nil
	}
	return raw, nil
}

// same reports whether two keys verify the same signatures.
func (k *Key) same(other *Key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == other.id && k.alg == other.alg && public.Equal(other.public)
}

// publicSet writes the JWK set of the keys, public members only.
func publicSet(keys []*Key) ([]byte, error) {
	type document struct {
		Keys []jwk.Key `json:"keys"`
	}
	doc := document{Keys: make([]jwk.Key, 0, len(keys))}
	for _, k := range keys {
		key, err := jwk.FromRaw(k.public)
		if err != nil {
			return nil, err
		}
		for name, value := range map[string]string{jwk.KeyIDKey: k.id, jwk.AlgorithmKey: k.alg.name, jwk.KeyUsageKey: "sig"} {
			if err := key.Set(name, value); err != nil {
				return nil, err
			}
		}
		doc.Keys = append(doc.Keys, key)
	}
	return json.Marshal(doc)
}
