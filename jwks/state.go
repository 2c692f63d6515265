package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// state is what a key store keeps of a Keyring: the private keys in the order in
// which they sign, each with its times. It is immutable once read.
type state struct {
	Written time.Time // by the clock of the replica that wrote it
	Keys    []stateKey
}

// stateKey is a private key with its times. The Signer is nil while it is planned.
type stateKey struct {
	times
	*jose.Signer
}

// stateVersion is the version of the format. Another one is refused.
const stateVersion = 1

type stateFile struct {
	Version int            `json:"m2m_keys"`
	Written time.Time      `json:"written"`
	Keys    []stateFileKey `json:"keys"`
}

type stateFileKey struct {
	times
	Key json.RawMessage `json:"key"` // a private JWK with kid and alg
}

func (k stateKey) id() string        { return k.Key().ID() }
func (k stateKey) algorithm() string { return k.Key().Algorithm() }

func (s *state) times() []times {
	list := make([]times, len(s.Keys))
	for i, k := range s.Keys {
		list[i] = k.times
	}
	return list
}

// index returns the place of a key in the list, -1 when it is not there.
func (s *state) index(kid string) int {
	return slices.IndexFunc(s.Keys, func(k stateKey) bool { return k.id() == kid })
}

// withKeys makes the keys that a planned state lacks.
func (r *Keyring) withKeys(s *state, err error) (*state, error) {
	if s == nil || err != nil {
		return nil, err
	}
	for i := range s.Keys {
		if s.Keys[i].Signer != nil {
			continue
		}
		private, err := jose.Generate(r.policy.Algorithm)
		if err != nil {
			return nil, err
		}
		if s.Keys[i].Signer, err = jose.NewSigner(private, r.policy.Algorithm); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readState reads a blob. Keys that previous has too keep their pointers.
func readState(blob []byte, previous *state) (*state, error) {
	wrap := func(err error) error {
		return fmt.Errorf("jwks: the stored keys cannot be read (%w): restore them from a backup, or remove them to start with new keys (tokens signed by the old ones are then refused)", err)
	}
	if _, err := jose.ParseObject(string(blob)); err != nil {
		return nil, wrap(errors.New("not a JSON object, or cut short"))
	}
	var f stateFile
	if err := json.Unmarshal(blob, &f); err != nil {
		return nil, wrap(errors.New("not the state of a keyring"))
	}
	if f.Version != stateVersion {
		return nil, wrap(fmt.Errorf("m2m_keys is %d, this version reads %d", f.Version, stateVersion))
	}
	if len(f.Keys) == 0 {
		return nil, wrap(errors.New("it holds no key"))
	}
	s := &state{Written: f.Written}
	known := map[string]*jose.Signer{}
	if previous != nil {
		for _, k := range previous.Keys {
			known[k.id()] = k.Signer
		}
	}
	for i, fk := range f.Keys {
		key, err := readSigner(fk.Key, known)
		if err != nil {
			return nil, wrap(fmt.Errorf("key %d: %w", i+1, err))
		}
		s.Keys = append(s.Keys, stateKey{fk.times, key})
	}
	return s, nil
}

// readSigner reads one private JWK. It does not read a known key again, which
// keeps the pointer.
func readSigner(raw []byte, known map[string]*jose.Signer) (*jose.Signer, error) {
	members, err := jose.ParseObject(string(raw))
	if err != nil {
		return nil, errors.New("not a JWK")
	}
	kid, _, _ := members.String("kid")
	alg, _, _ := members.String("alg")
	if signer := known[kid]; signer != nil && signer.Key().Algorithm() == alg {
		return signer, nil
	}
	return jose.ParseSigner(raw)
}

func (s *state) blob() ([]byte, error) {
	f := stateFile{Version: stateVersion, Written: s.Written}
	for _, k := range s.Keys {
		raw, err := k.MarshalPrivate()
		if err != nil {
			return nil, err
		}
		f.Keys = append(f.Keys, stateFileKey{k.times, raw})
	}
	return json.MarshalIndent(f, "", "  ")
}
