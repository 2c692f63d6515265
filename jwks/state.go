package jwks

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// state is what a key store keeps of a Keyring: the private keys, or references to
// them, in the order in which they sign, each with its times. It is immutable.
type state struct {
	// Lineage is a random name, made with the first keys. It never changes.
	Lineage string

	// Succeeds is the lineage that this one replaced by Adopt.
	Succeeds string

	// Generation counts the writes of a lineage.
	Generation int64

	Written time.Time // by the clock of the replica that wrote it
	Dropped []string  // kids that Rotate dropped, which must not return; the newest last
	Keys    []stateKey
}

// stateKey is a private key with its times.
type stateKey struct {
	times

	// Signer is nil while the key is planned, and while a key that is kept elsewhere
	// could not be opened.
	*jose.Signer

	key       *jose.Key // the public half, nil while the key is planned
	reference string    // of a key that is kept elsewhere
	remote    bool      // its Signer is elsewhere, and may hang
}

// Key returns the public half. The pointer stays the same while the key is in the
// state.
func (k stateKey) Key() *jose.Key    { return k.key }
func (k stateKey) id() string        { return k.key.ID() }
func (k stateKey) algorithm() string { return k.key.Algorithm() }

const (
	// stateVersion is the version of the format. Version 1 was never released and is
	// not read.
	stateVersion = 2

	// maxDropped bounds the list of dropped kids. The oldest are removed first.
	maxDropped = 128
)

type stateFile struct {
	Version    int            `json:"m2m_keys"`
	Lineage    string         `json:"lineage,omitempty"`
	Succeeds   string         `json:"succeeds,omitempty"`
	Generation int64          `json:"generation,omitempty"`
	Written    time.Time      `json:"written"`
	Dropped    []string       `json:"dropped,omitempty"`
	Keys       []stateFileKey `json:"keys"`
}

type stateFileKey struct {
	times
	Key       json.RawMessage `json:"key,omitempty"`       // a private JWK with kid and alg
	Reference string          `json:"reference,omitempty"` // instead of Key; for Policy.OpenSigner
	Public    json.RawMessage `json:"public,omitempty"`    // with Reference: a public JWK with kid and alg
}

func newLineage() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

func (s *state) times() []times {
	list := make([]times, len(s.Keys))
	for i, k := range s.Keys {
		list[i] = k.times
	}
	return list
}

// index returns the index of a key in the list, or -1.
func (s *state) index(kid string) int {
	return slices.IndexFunc(s.Keys, func(k stateKey) bool { return k.key != nil && k.id() == kid })
}

// follow makes next the successor of s: the same lineage, one generation later.
func (s *state) follow(next *state) *state {
	next.Lineage, next.Succeeds, next.Generation = s.Lineage, s.Succeeds, s.Generation+1
	if next.Lineage == "" {
		next.Lineage = newLineage()
	}
	if next.Dropped == nil {
		next.Dropped = s.Dropped
	}
	return next
}

var errNewerState = errors.New("jwks: the stored keys were written by a newer release: run the newer release")

// readState reads a blob. Keys that previous also has keep their pointers.
func readState(blob []byte, previous *state) (*state, error) {
	wrap := func(err error) error {
		return fmt.Errorf("jwks: the stored keys cannot be read (%w): restore them from a backup, or remove them to start with new keys (tokens signed by the old ones are then refused)", err)
	}
	if _, err := jose.ParseObject(string(blob)); err != nil {
		return nil, wrap(errors.New("not a JSON object, or cut short"))
	}
	var version struct {
		Version int `json:"m2m_keys"`
	}
	if err := json.Unmarshal(blob, &version); err == nil && version.Version > stateVersion {
		return nil, fmt.Errorf("%w (m2m_keys is %d, this release reads up to %d)", errNewerState, version.Version, stateVersion)
	}
	var f stateFile
	if err := json.Unmarshal(blob, &f); err != nil {
		return nil, wrap(errors.New("not the state of a keyring"))
	}
	if f.Version < stateVersion {
		return nil, wrap(fmt.Errorf("m2m_keys is %d, this release reads %d", f.Version, stateVersion))
	}
	if f.Lineage == "" || f.Generation < 1 {
		return nil, wrap(errors.New("it has no lineage or no generation"))
	}
	if len(f.Keys) == 0 {
		return nil, wrap(errors.New("it holds no key"))
	}
	s := &state{Lineage: f.Lineage, Succeeds: f.Succeeds, Generation: f.Generation, Written: f.Written, Dropped: f.Dropped}
	known := map[string]stateKey{}
	if previous != nil {
		for _, k := range previous.Keys {
			known[k.id()] = k
		}
	}
	for i, fk := range f.Keys {
		key, err := readKey(fk, known)
		if err != nil {
			return nil, wrap(fmt.Errorf("key %d: %w", i+1, err))
		}
		s.Keys = append(s.Keys, key)
	}
	return s, nil
}

// readKey reads one key. A known key is not parsed again, and keeps its pointer.
func readKey(fk stateFileKey, known map[string]stateKey) (stateKey, error) {
	raw := fk.Key
	if fk.Reference != "" {
		raw = fk.Public
	}
	members, err := jose.ParseObject(string(raw))
	if err != nil {
		return stateKey{}, errors.New("not a JWK")
	}
	kid, _, _ := members.String("kid")
	alg, _, _ := members.String("alg")
	if k, ok := known[kid]; ok && k.algorithm() == alg && k.reference == fk.Reference {
		k.times = fk.times
		return k, nil
	}
	if fk.Reference != "" {
		key, err := readPublic(raw, kid)
		return stateKey{times: fk.times, key: key, reference: fk.Reference, remote: true}, err
	}
	signer, err := jose.ParseSigner(raw)
	if err != nil {
		return stateKey{}, err
	}
	return stateKey{times: fk.times, Signer: signer, key: signer.Key()}, nil
}

// readPublic reads the public half of a key that is kept elsewhere.
func readPublic(raw []byte, kid string) (*jose.Key, error) {
	document, err := json.Marshal(map[string][]json.RawMessage{"keys": {raw}})
	if err != nil {
		return nil, errors.New("not a JWK")
	}
	set, err := jose.ParseSet(document, nil)
	if err != nil || set.Len() != 1 {
		return nil, errors.New("not a public key that can be used")
	}
	key := set.Keys()[0]
	own, err := jose.NewKey(key.Public(), key.Algorithm(), "")
	if err != nil || own.ID() != kid || key.ID() != kid {
		return nil, errors.New("the kid of the public key is not its thumbprint")
	}
	return key, nil
}

func (s *state) blob() ([]byte, error) {
	f := stateFile{
		Version: stateVersion, Lineage: s.Lineage, Succeeds: s.Succeeds, Generation: s.Generation,
		Written: s.Written, Dropped: s.Dropped,
	}
	for _, k := range s.Keys {
		fk := stateFileKey{times: k.times, Reference: k.reference}
		var err error
		if k.reference == "" {
			fk.Key, err = k.MarshalPrivate()
		} else {
			fk.Public, err = publicJWK(k.key)
		}
		if err != nil {
			return nil, err
		}
		f.Keys = append(f.Keys, fk)
	}
	return json.MarshalIndent(f, "", "  ")
}

func publicJWK(key *jose.Key) (json.RawMessage, error) {
	set, err := jose.NewSet(key)
	if err != nil {
		return nil, err
	}
	document, err := set.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var f struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &f); err != nil || len(f.Keys) != 1 {
		return nil, errors.New("jwks: the public key cannot be written")
	}
	return f.Keys[0], nil
}
