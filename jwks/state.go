package jwks

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// state is what a key store keeps of a Keyring: the private keys in the order
// in which they sign, each with its times. It is immutable once read.
type state struct {
	// Written is the clock of the replica that wrote this. Every replica takes
	// the later of it and its own clock as the time, so one whose clock is
	// behind does not go on with a key that the others have left.
	Written time.Time
	Keys    []stateKey
}

type stateKey struct {
	times
	*signingKey
}

// stateVersion is the format's. Another one is refused, never guessed at.
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

func (s *state) times() []times {
	list := make([]times, len(s.Keys))
	for i, k := range s.Keys {
		list[i] = k.times
	}
	return list
}

// announce gives the last key its times if it has none, and says whether it did.
func (s *state) announce(p Policy, now time.Time) bool {
	n := len(s.Keys) - 1
	other := n > 0 && s.Keys[n].alg != s.Keys[n-1].alg
	t, ok := announceAt(s.times(), p, now, other)
	if ok {
		s.Keys[n].times = t
	}
	return ok
}

// readState reads a blob. Keys that previous has too keep their pointers.
func readState(blob []byte, previous *state) (*state, error) {
	wrap := func(err error) error {
		return fmt.Errorf("jwks: the stored keys cannot be read (%w): restore them from a backup, or remove them to start with new keys (tokens signed by the old ones are then refused)", err)
	}
	if _, err := ParseClaims(string(blob)); err != nil {
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
	known := map[string]*signingKey{}
	if previous != nil {
		for _, k := range previous.Keys {
			known[k.id] = k.signingKey
		}
	}
	for i, fk := range f.Keys {
		key, err := readPrivate(fk.Key, known)
		if err != nil {
			return nil, wrap(fmt.Errorf("key %d: %w", i+1, err))
		}
		s.Keys = append(s.Keys, stateKey{fk.times, key})
	}
	return s, nil
}

func readPrivate(raw []byte, known map[string]*signingKey) (*signingKey, error) {
	parsed, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, errors.New("not a JWK") // jwx's error may quote the key
	}
	if key := known[parsed.KeyID()]; key != nil && key.alg.name == parsed.Algorithm().String() {
		return key, nil
	}
	var private any
	if err := parsed.Raw(&private); err != nil {
		return nil, errors.New("not a usable JWK")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a private key")
	}
	key, err := newSigningKey(signer, parsed.Algorithm().String())
	if err != nil {
		return nil, err
	}
	if key.id != parsed.KeyID() {
		return nil, errors.New("its kid is not its thumbprint")
	}
	// Neither jwx nor crypto/* sees that a private half was damaged.
	probe, err := key.alg.sign(key.private, []byte(key.id))
	if err != nil || key.alg.verify(key.public, []byte(key.id), probe) != nil {
		return nil, errors.New("its private half is not that of its public half")
	}
	return key, nil
}

func (s *state) blob() ([]byte, error) {
	f := stateFile{Version: stateVersion, Written: s.Written}
	for _, k := range s.Keys {
		key, err := jwk.FromRaw(k.private)
		if err != nil {
			return nil, errors.New("jwks: a key cannot be written")
		}
		if err := errors.Join(key.Set(jwk.KeyIDKey, k.id), key.Set(jwk.AlgorithmKey, k.alg.name)); err != nil {
			return nil, errors.New("jwks: a key cannot be written")
		}
		raw, err := json.Marshal(key)
		if err != nil {
			return nil, errors.New("jwks: a key cannot be written")
		}
		f.Keys = append(f.Keys, stateFileKey{k.times, raw})
	}
	return json.MarshalIndent(f, "", "  ")
}
