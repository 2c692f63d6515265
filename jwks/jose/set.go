package jose

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// maxKeys bounds a key set. An issuer has a handful.
const maxKeys = 256

// Set is a set of public keys, found by key id and algorithm. It is immutable. A
// nil Set and the zero Set are empty.
type Set struct {
	keys    []*Key // unique by id and algorithm, in the order of the document
	skipped []Skipped
}

// Skipped is an entry of a key set document that cannot be used.
type Skipped struct {
	KeyID string // its kid, as far as it could be read
	Err   error  // why it cannot be used
}

// NewSet makes a Set of these keys, in this order. The same key twice is one key.
// Two different keys with the same id and the same algorithm are an error.
func NewSet(keys ...*Key) (*Set, error) {
	s := &Set{keys: make([]*Key, 0, len(keys))}
	for i, k := range keys {
		if !k.valid() {
			return nil, fmt.Errorf("jose: NewSet: key %d is nil or zero: make it with NewKey", i+1)
		}
		switch other := s.Find(k.id, k.alg.name); {
		case other == nil:
			s.keys = append(s.keys, k)
		case !other.samePublic(k):
			return nil, fmt.Errorf("jose: NewSet: key %d has the id and the algorithm of another key", i+1)
		}
	}
	if len(s.keys) > maxKeys {
		return nil, fmt.Errorf("jose: NewSet: %d keys, more than %d", len(s.keys), maxKeys)
	}
	return s, nil
}

// ParseSet reads a JWK set (RFC 7517, section 5). A document that is not a key set
// is an error. An entry that cannot be used is skipped alone, since an issuer may
// publish keys for other purposes: an unknown type, a symmetric or private key, a
// key for encryption, a weak one. So are two different keys with the same id and
// the same algorithm, because it cannot be told which one is meant. [Set.Skipped]
// says which were skipped and why. A set without a usable key is no error.
//
// Keys that are unchanged since previous keep their pointers. previous may be nil.
func ParseSet(document []byte, previous *Set) (*Set, error) {
	object, err := ParseObject(string(document))
	if err != nil {
		return nil, fmt.Errorf("jose: not a JWK set: %w", err)
	}
	// Members are read by Object, here and in parseKey, because encoding/json takes
	// "KEYS" for "keys".
	member, _ := object.Raw("keys")
	var entries []json.RawMessage
	if err := json.Unmarshal(member, &entries); err != nil || entries == nil {
		return nil, errors.New(`jose: not a JWK set: it has no "keys" array`)
	}
	if len(entries) > maxKeys {
		return nil, fmt.Errorf("jose: the JWK set has %d keys, more than %d", len(entries), maxKeys)
	}
	s := &Set{keys: make([]*Key, 0, len(entries))}
	var ambiguous []*Key
	for _, raw := range entries {
		key, kid, err := parseKey(raw)
		if err != nil {
			s.skip(kid, err)
			continue
		}
		if other := s.Find(key.id, key.alg.name); other != nil {
			if !other.samePublic(key) {
				ambiguous = append(ambiguous, other)
				s.skip(key.id, errAmbiguous)
			}
			continue
		}
		s.keys = append(s.keys, previous.keep(key))
	}
	s.keys = slices.DeleteFunc(s.keys, func(k *Key) bool {
		if !slices.Contains(ambiguous, k) {
			return false
		}
		s.skip(k.id, errAmbiguous)
		return true
	})
	return s, nil
}

var errAmbiguous = errors.New("another key has the same kid and alg")

func (s *Set) skip(kid string, err error) {
	s.skipped = append(s.skipped, Skipped{KeyID: kid[:min(len(kid), maxKeyID)], Err: err})
}

// keep returns the key of s that equals k, or else k.
func (s *Set) keep(k *Key) *Key {
	if s != nil {
		for _, old := range s.keys {
			if old.Equal(k) {
				return old
			}
		}
	}
	return k
}

// Find returns the key with this id for this algorithm, or nil. EdDSA and Ed25519
// are two names of one algorithm. With an empty alg it returns the only key with
// this id, or nil if there are several.
//
// It compares with each key in turn, which is quicker than a map for the handful
// of keys that an issuer has.
func (s *Set) Find(kid, alg string) *Key {
	if s == nil {
		return nil
	}
	if alg == "" {
		return s.only(kid)
	}
	for _, k := range s.keys {
		if k.answers(kid, alg) {
			return k
		}
	}
	return nil
}

func (s *Set) only(kid string) *Key {
	var found *Key
	for _, k := range s.keys {
		if k.id == kid {
			if found != nil {
				return nil
			}
			found = k
		}
	}
	return found
}

// Keys returns the keys in the order of the document.
func (s *Set) Keys() []*Key {
	if s == nil {
		return nil
	}
	return slices.Clone(s.keys)
}

// Len returns the number of keys.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// Skipped returns the entries of the document that cannot be used.
func (s *Set) Skipped() []Skipped {
	if s == nil {
		return nil
	}
	return slices.Clone(s.skipped)
}

// MarshalJSON writes the set as a JWK set: the public members of each key, its
// kid, its alg and "use":"sig". The same keys give the same bytes.
func (s *Set) MarshalJSON() ([]byte, error) {
	document := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: make([]json.RawMessage, 0, s.Len())}
	for _, k := range s.Keys() {
		raw, err := writeJWK(k.public, map[string]string{"kid": k.id, "alg": k.alg.name, "use": "sig"})
		if err != nil {
			return nil, fmt.Errorf("jose: writing key %q: %w", k.id, err)
		}
		document.Keys = append(document.Keys, raw)
	}
	return json.Marshal(document)
}
