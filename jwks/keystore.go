package jwks

import (
	"bytes"
	"context"
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

// File returns a KeyStore in a file that only its owner can read (0600), with a
// lock file beside it. Wider permissions are refused, and so is a file that this
// package did not write. Neither is overwritten by new keys. The private keys in
// the file are plain unless [Sealed].
//
// Not checked: the permissions of the directory. It must be on a local file
// system, because locks on network file systems are not reliable.
func File(path string) KeyStore { return file(path) }

type file string

// lockRetry is the interval between two attempts to take the lock.
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
			_ = os.Remove(temp) // it may hold private keys
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

// syncDir makes a rename in the directory durable.
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
