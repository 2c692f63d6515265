package jose

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	maxKeys = 16384 // entries of a key set. An issuer has a handful

	// A set with this many keys has an index of their ids. For fewer, comparing with each
	// key is quicker.
	indexedKeys = 16
)

// Set is a set of public keys, found by key id and algorithm. It is immutable. A
// nil Set and the zero Set are empty.
type Set struct {
	keys    []*Key            // unique by id and algorithm, in the order of the document
	byID    map[string][]*Key // from indexedKeys on
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
			s.add(k)
		case !other.samePublic(k):
			return nil, fmt.Errorf("jose: NewSet: key %d has the id and the algorithm of another key", i+1)
		}
	}
	if len(s.keys) > maxKeys {
		return nil, fmt.Errorf("jose: NewSet: %d keys, more than %d", len(s.keys), maxKeys)
	}
	return s, nil
}

// ParseSet reads a JWK set (RFC 7517, section 5) of at most 16 384 entries. A
// document that is not a key set is an error. A byte order mark before it is ignored.
//
// Each entry is read strictly, and one that cannot be used is skipped alone: an
// unknown type, a symmetric or private key, a key for encryption, a weak one, or an
// entry that is no JSON object with unique names. In an entry, a member that is null or
// empty counts as absent. The same key twice is one key. Two different keys with
// the same id and the same algorithm are both skipped, because a verifier cannot know
// which one is meant. [Set.Skipped] says which entries were skipped and why.
//
// A set without a usable key is no error here: see [Set.Len].
//
// Keys that are unchanged since previous keep their pointers. previous may be nil.
func ParseSet(document []byte, previous *Set) (*Set, error) {
	entries, err := entriesOf(document)
	if err != nil {
		return nil, fmt.Errorf("jose: not a JWK set: %w", err)
	}
	s := &Set{keys: make([]*Key, 0, min(len(entries), maxKeys))}
	ambiguous := map[*Key]bool{}
	for _, raw := range entries {
		key, kid, err := parseKey(raw)
		if err != nil {
			s.skip(kid, err)
			continue
		}
		if other := s.Find(key.id, key.alg.name); other != nil {
			if !other.samePublic(key) {
				ambiguous[other] = true
				s.skip(key.id, errAmbiguous)
			}
			continue
		}
		s.add(previous.keep(key))
	}
	s.drop(ambiguous)
	return s, nil
}

// entriesOf returns the entries of the "keys" array. Of the rest of the document
// only the syntax is checked: what one entry holds, such as a name twice or an array
// a million levels deep, does not affect the others.
func entriesOf(document []byte) ([]string, error) {
	text := strings.TrimPrefix(string(document), byteOrderMark)
	s := scanner{doc: text, values: math.MaxInt, lax: true}
	s.space()
	if !s.byte('{') {
		return nil, s.fault()
	}
	// Names are compared exactly, here and in parseKey: encoding/json takes "KEYS" for
	// "keys".
	var entries []string
	found := false
	s.space()
	for more := !s.byte('}'); more; {
		start := s.at
		if !s.string() {
			return nil, s.fault()
		}
		name, _ := unquote(text[start:s.at])
		if !s.colon() {
			return nil, s.fault()
		}
		switch {
		case name != "keys":
			if !s.skip() {
				return nil, s.fault()
			}
		case found:
			return nil, errors.New(`it has two members "keys"`)
		default:
			found = true
			var err error
			if entries, err = s.elements(maxKeys); err != nil {
				return nil, err
			}
		}
		s.space()
		if more = s.byte(','); more {
			s.space()
		} else if !s.byte('}') {
			return nil, s.fault()
		}
	}
	if s.space(); s.at != len(text) {
		return nil, fmt.Errorf("something follows the JSON object (at byte %d)", s.at)
	}
	if !found {
		return nil, errors.New(`it has no "keys" array`)
	}
	return entries, nil
}

// elements reads an array and returns its elements.
func (s *scanner) elements(most int) (elements []string, err error) {
	if !s.byte('[') {
		return nil, errors.New(`it has no "keys" array`)
	}
	if s.space(); s.byte(']') {
		return nil, nil
	}
	for {
		if len(elements) >= most {
			return nil, fmt.Errorf("it has more than %d keys", most)
		}
		start := s.at
		if !s.skip() {
			return nil, s.fault()
		}
		elements = append(elements, s.doc[start:s.at])
		if s.space(); s.byte(']') {
			return elements, nil
		}
		if !s.byte(',') {
			return nil, s.fault()
		}
		s.space()
	}
}

var errAmbiguous = errors.New("another key has the same kid and alg")

func (s *Set) skip(kid string, err error) {
	s.skipped = append(s.skipped, Skipped{KeyID: kid, Err: err})
}

func (s *Set) add(k *Key) {
	s.keys = append(s.keys, k)
	switch {
	case s.byID != nil:
		s.byID[k.id] = append(s.byID[k.id], k)
	case len(s.keys) >= indexedKeys:
		s.byID = make(map[string][]*Key, 2*len(s.keys))
		for _, k := range s.keys {
			s.byID[k.id] = append(s.byID[k.id], k)
		}
	}
}

// drop removes ambiguous keys.
func (s *Set) drop(ambiguous map[*Key]bool) {
	if len(ambiguous) == 0 {
		return
	}
	keys := s.keys
	s.keys, s.byID = make([]*Key, 0, len(keys)), nil
	for _, k := range keys {
		if ambiguous[k] {
			s.skip(k.id, errAmbiguous)
		} else {
			s.add(k)
		}
	}
}

// keep returns the key of s that equals k, or else k.
func (s *Set) keep(k *Key) *Key {
	for _, old := range s.named(k.id) {
		if old.Equal(k) {
			return old
		}
	}
	return k
}

// named returns the keys that may have this id.
func (s *Set) named(kid string) []*Key {
	switch {
	case s == nil:
		return nil
	case s.byID != nil:
		return s.byID[kid]
	}
	return s.keys
}

// Find returns the key with this id for this algorithm, or nil. EdDSA and Ed25519
// are two names of one algorithm. With an empty alg it returns the only key with
// this id, or nil if there are several.
func (s *Set) Find(kid, alg string) *Key {
	if alg == "" {
		return s.only(kid)
	}
	for _, k := range s.named(kid) {
		if k.answers(kid, alg) {
			return k
		}
	}
	return nil
}

func (s *Set) only(kid string) *Key {
	var found *Key
	for _, k := range s.named(kid) {
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
