package jwks

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

// KeyStore keeps the state of a [Keyring], one blob of a few kilobytes, for all
// the replicas that share it. Both methods must be safe for concurrent use, by
// other processes too, and must return when their context ends.
type KeyStore interface {
	// Load returns the blob last saved, or nil when none ever was.
	Load(ctx context.Context) ([]byte, error)

	// Save replaces old by blob in one atomic step, and reports false, changing
	// nothing, when what is stored is not old (nil: nothing is stored). Once it
	// has returned true the blob survives a crash.
	Save(ctx context.Context, old, blob []byte) (bool, error)
}

// File keeps the state in a file that only its owner can read (0600), with a
// lock file beside it. Wider permissions are refused, as is a file this package
// did not write; neither is ever overwritten by new keys. The private keys in
// it are plain unless [Sealed].
//
// Not checked: the permissions of the directory. It must be on a local file
// system: locks on network file systems are not to be trusted.
func File(path string) KeyStore { return file(path) }

type file string

// lockRetry is how often a held lock is tried again.
const lockRetry = 10 * time.Millisecond

func (f file) Load(context.Context) ([]byte, error) { return f.read() }

func (f file) read() ([]byte, error) {
	if f == "" {
		return nil, errors.New(`jwks: File has no path: write one such as "keys.json"`)
	}
	info, err := os.Lstat(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("jwks: key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		// Not a link either: a dangling one would pass for a first start, and
		// the first Save would replace it.
		return nil, fmt.Errorf("jwks: key file %s is not a regular file: write the path of one, not of a link to it", f)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("jwks: key file %s can be read by others (%v): run chmod 600 on it, and replace its keys if others may have read it", f, info.Mode().Perm())
	}
	blob, err := os.ReadFile(string(f))
	if err != nil {
		return nil, fmt.Errorf("jwks: key file: %w", err)
	}
	if len(blob) == 0 {
		return nil, fmt.Errorf("jwks: key file %s is empty: restore it from a backup, or remove it to start with new keys (tokens signed by the old ones are then refused)", f)
	}
	return blob, nil
}

func (f file) Save(ctx context.Context, old, blob []byte) (saved bool, err error) {
	lock := flock.New(string(f)+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return false, fmt.Errorf("jwks: locking key file %s (is its directory there?): %w", f, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	current, err := f.read()
	if err != nil {
		return false, err
	}
	if !bytes.Equal(current, old) || (current == nil) != (old == nil) {
		return false, nil
	}
	if err := replaceFile(string(f), blob); err != nil {
		return false, fmt.Errorf("jwks: writing the key file: %w", err)
	}
	return true, nil
}

// replaceFile writes a file so that after a crash at any moment the path holds
// the old content or the new, whole. The caller holds the lock, so one name for
// the new content is enough, and a crash leaves at most that one behind.
func replaceFile(path string, content []byte) (err error) {
	temp := path + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp) // private keys are not left lying about
		}
	}()
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	err = os.Rename(temp, path)
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in the directory last.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sealed encrypts what a key store keeps with AES-256-GCM, so that a copy of
// the store is not a copy of the keys. The first key-encryption key seals; each
// of them opens; each has 32 random bytes. To replace one without a gap, put the
// new one behind the old on every replica, then before it on every replica, then
// leave the old one out: what it sealed is sealed anew at the first read by a
// replica that has the new one first, and from then on one that has only the old
// one cannot read it.
//
// An unsealed blob is refused, as otherwise whoever can write the store could
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

// open returns the plain blob, and which key-encryption key sealed it.
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
		// Should it fail, the next read tries again.
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
