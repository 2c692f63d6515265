package jwks

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// Sealed encrypts the content of a key store with AES-256-GCM, so that a copy of the
// store is not a copy of the keys. The first key-encryption key seals, each of them
// opens. Each has 32 random bytes.
//
// To replace a key-encryption key without a gap, put the new one behind the old one
// on every replica, then before it on every replica, then remove the old one. The
// first replica that has the new one first seals the content again when it reads
// it. From then on a replica that has only the old one cannot read it.
//
// An unsealed blob is refused. Otherwise anyone who can write to the store could
// plant keys.
func Sealed(store KeyStore, kek ...[]byte) (KeyStore, error) {
	if store == nil || len(kek) == 0 {
		return nil, errors.New("jwks: Sealed needs a key store and a 32-byte key-encryption key")
	}
	s := &sealed{store: store}
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

type sealed struct {
	store KeyStore
	keks  []cipher.AEAD
}

// sealMark starts every sealed blob and is authenticated with it.
var sealMark = []byte("m2m keys, sealed v1\n")

func (s *sealed) seal(plain []byte) []byte {
	return s.keks[0].Seal(bytes.Clone(sealMark), nil, plain, sealMark)
}

// open returns the plain blob, and the index of the key-encryption key that sealed
// it.
func (s *sealed) open(blob []byte) (plain []byte, kek int, err error) {
	box, ok := bytes.CutPrefix(blob, sealMark)
	if !ok {
		return nil, 0, errors.New("jwks: the stored keys are not sealed, or not by this package: restore the sealed ones, or remove them to start with new keys")
	}
	for i, aead := range s.keks {
		if plain, err := aead.Open(nil, nil, box, sealMark); err == nil {
			return plain, i, nil
		}
	}
	return nil, 0, errors.New("jwks: the stored keys cannot be opened: either they are damaged (restore them from a backup) or the key-encryption key is not the one that sealed them (add that one to the list)")
}

func (s *sealed) Load(ctx context.Context) ([]byte, error) {
	blob, err := s.store.Load(ctx)
	if err != nil || blob == nil {
		return nil, err
	}
	plain, kek, err := s.open(blob)
	if err != nil {
		return nil, err
	}
	if kek > 0 {
		// If this fails, the next read tries again.
		_, _ = s.store.Save(ctx, blob, s.seal(plain))
	}
	return plain, nil
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
