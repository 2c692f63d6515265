package jwks

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Sealed returns a key store that encrypts the content of another one with
// AES-256-GCM, so a copy of the store is not a copy of the keys. Each key-encryption
// key (kek) is 32 random bytes, kept elsewhere than the store. The first one seals;
// each of them opens.
//
// The label says whose keys they are, such as the issuer URL. Content that was sealed
// under another label is not opened. So staging's keys cannot replace production's,
// even if both have the same key-encryption keys. Label, lineage and generation are
// readable, and authenticated with the rest.
//
// To replace a key-encryption key without a gap: put the new one behind the old one
// on every replica; then put it first on every replica; then call [Reseal]; then
// remove the old one. A replica that has the new key first also reseals the content
// when it reads it. From then on a replica that has only the old key cannot read it.
//
// An unsealed blob is refused. Otherwise anyone who can write to the store could
// plant keys.
func Sealed(store KeyStore, label string, kek ...[]byte) (KeyStore, error) {
	if store == nil || len(kek) == 0 {
		return nil, errors.New("jwks: Sealed needs a key store and a 32-byte key-encryption key")
	}
	if label == "" || len(label) > 1024 {
		return nil, errors.New("jwks: Sealed needs a label of up to 1024 bytes: write whose keys they are, such as the issuer URL")
	}
	if !utf8.ValidString(label) {
		return nil, errors.New("jwks: Sealed needs a label that is valid UTF-8")
	}
	s := &sealed{store: store, label: label}
	for i, key := range kek {
		if len(key) != 32 {
			return nil, fmt.Errorf("jwks: key-encryption key %d has %d bytes: write 32 random ones", i+1, len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("jwks: key-encryption key: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("jwks: key-encryption key: %w", err)
		}
		s.keks = append(s.keks, aead)
	}
	return s, nil
}

// Reseal seals the content of a store of [Sealed] again, under its first
// key-encryption key. After that no other key-encryption key is needed.
func Reseal(ctx context.Context, store KeyStore) error {
	s, ok := store.(*sealed)
	if !ok {
		return errors.New("jwks: Reseal needs a key store of Sealed")
	}
	for range maxRaces {
		blob, err := s.store.Load(ctx)
		if err != nil {
			return err
		}
		if blob == nil {
			return errors.New("jwks: Reseal: the key store is empty")
		}
		plain, _, err := s.open(blob)
		if err != nil {
			return err
		}
		if done, err := s.store.Save(ctx, blob, s.seal(plain)); err != nil || done {
			return err
		}
	}
	return errTooBusy
}

type sealed struct {
	store KeyStore
	label string
	keks  []cipher.AEAD
}

// A sealed blob is a mark, a header of one line, and a box. The box authenticates
// mark and header.
var (
	sealPrefix = []byte("m2m keys, sealed v")
	sealMark   = []byte("m2m keys, sealed v2\n")
	sealMark1  = []byte("m2m keys, sealed v1\n") // from before the first release; it had no label
)

type sealHeader struct {
	Label      string `json:"label"`
	Lineage    string `json:"lineage"`
	Generation int64  `json:"generation"`
}

func (s *sealed) seal(plain []byte) []byte {
	var f stateFile
	_ = json.Unmarshal(plain, &f)                                           // without a state the header has no lineage
	header, _ := json.Marshal(sealHeader{s.label, f.Lineage, f.Generation}) //nolint:errchkjson // text and a number
	open := append(append(bytes.Clone(sealMark), header...), '\n')
	return s.keks[0].Seal(open, nil, plain, bytes.Clone(open))
}

var (
	errDamaged  = errors.New("jwks: the stored keys cannot be opened: either they are damaged (restore them from a backup), or none of the key-encryption keys has sealed them (add the one that has)")
	errUnsealed = errors.New("jwks: the stored keys are not sealed, or not by this package: restore the sealed ones, or remove them to start with new keys")
)

// otherSeal is the error of a blob that another key store of Sealed seems to have
// sealed: it has another label, or no key-encryption key opens it. The header is not
// authenticated.
type otherSeal struct {
	error

	store  *sealed
	blob   []byte
	header sealHeader
}

func (o *otherSeal) Unwrap() error { return o.error }

// foreign reports whether the blob cannot be a successor of a state: it has another
// label or lineage, or an older generation. A newer or damaged blob must not be
// overwritten, or a Rotate of another replica would be lost.
func (o *otherSeal) foreign(own *state) bool {
	return o.header.Label != o.store.label || o.header.Lineage != own.Lineage || o.header.Generation < own.Generation
}

// replace writes a plain blob over the blob.
func (o *otherSeal) replace(ctx context.Context, plain []byte) (bool, error) {
	return o.store.store.Save(ctx, o.blob, o.store.seal(plain))
}

// open returns the plain blob. again is true if it must be resealed, because another
// key-encryption key than the first opened it.
func (s *sealed) open(blob []byte) (plain []byte, again bool, err error) {
	switch {
	case bytes.HasPrefix(blob, sealMark):
	case bytes.HasPrefix(blob, sealMark1):
		return nil, false, errors.New("jwks: the stored keys are sealed in a format from before the first release, which is no longer read: restore newer ones, or remove them to start with new keys")
	case bytes.HasPrefix(blob, sealPrefix):
		return nil, false, fmt.Errorf("%w, or restore older ones from a backup if they are damaged", errNewerState)
	default:
		return nil, false, errUnsealed
	}
	end := bytes.IndexByte(blob[len(sealMark):], '\n')
	if end < 0 {
		return nil, false, errDamaged
	}
	open, box := blob[:len(sealMark)+end+1], blob[len(sealMark)+end+1:]
	other := &otherSeal{error: errDamaged, store: s, blob: blob}
	if json.Unmarshal(open[len(sealMark):], &other.header) != nil {
		return nil, false, errDamaged
	}
	if other.header.Label != s.label {
		other.error = fmt.Errorf("jwks: the stored keys have the label %q, and this key store the label %q: correct the label, or restore the right keys from a backup", other.header.Label, s.label)
		return nil, false, other
	}
	for i, aead := range s.keks {
		if plain, err := aead.Open(nil, nil, box, open); err == nil {
			return plain, i > 0, nil
		}
	}
	return nil, false, other
}

func (s *sealed) Load(ctx context.Context) ([]byte, error) {
	blob, err := s.store.Load(ctx)
	return s.loaded(ctx, blob, err)
}

func (s *sealed) loaded(ctx context.Context, blob []byte, err error) ([]byte, error) {
	if err != nil || blob == nil {
		return nil, err
	}
	plain, again, err := s.open(blob)
	if err != nil {
		return nil, err
	}
	if again {
		// After a failure the next read retries.
		_, _ = s.store.Save(ctx, blob, s.seal(plain))
	}
	return plain, nil
}

// loadLenient is Load for a running keyring.
func (s *sealed) loadLenient(ctx context.Context) (plain []byte, exposed, err error) {
	below, ok := s.store.(lenient)
	if !ok {
		plain, err = s.Load(ctx)
		return plain, nil, err
	}
	blob, exposed, err := below.loadLenient(ctx)
	plain, err = s.loaded(ctx, blob, err)
	return plain, exposed, err
}

// Now returns the time of the clock of the store below.
func (s *sealed) Now(ctx context.Context) (time.Time, error) {
	if below, ok := s.store.(ClockStore); ok {
		return below.Now(ctx)
	}
	return time.Time{}, errors.ErrUnsupported
}

func (s *sealed) Save(ctx context.Context, old, blob []byte) (bool, error) {
	current, err := s.store.Load(ctx)
	if err != nil {
		return false, err
	}
	if current == nil {
		if old != nil {
			return false, nil
		}
		return s.store.Save(ctx, nil, s.seal(blob))
	}
	plain, _, err := s.open(current)
	if err != nil {
		return false, err
	}
	if old == nil || !bytes.Equal(plain, old) {
		return false, nil
	}
	return s.store.Save(ctx, current, s.seal(blob))
}
