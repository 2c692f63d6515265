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
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// File returns a KeyStore in a file that only its owner can read (0600), with a lock
// file beside it. The private keys in the file are plain text unless [Sealed]: add
// the file to .gitignore.
//
// Each write replaces the file, so its directory must be writable. Mount the
// directory into a container, not the file alone. It must be on a local file system:
// locks on network file systems are not reliable.
//
// A file that other users can access is refused. Group permissions are accepted if
// the process is in that group: fsGroup of Kubernetes adds them at each mount. A link
// is refused, and so is a file that this package did not write; the directory may be
// a link. None of them is overwritten. A keyring that already runs keeps working when
// its file is opened to others or becomes a link: it reads the file, writes nothing,
// and reports that in [Keyring.Ready], [Keyring.Status] and an event.
//
// Not checked: the permissions of the directory.
func File(path string) KeyStore { return file(path) }

type file string

// lockRetry is the interval between two attempts to take the lock.
const lockRetry = 10 * time.Millisecond

func (f file) Load(context.Context) ([]byte, error) { return f.read() }

// read returns the content of a file that may be used.
func (f file) read() ([]byte, error) {
	blob, exposed, err := f.readAny()
	if err == nil {
		err = exposed
	}
	if err != nil {
		return nil, err
	}
	return blob, nil
}

func (f file) loadLenient(context.Context) (blob []byte, exposed, err error) { return f.readAny() }

// readAny returns the content of the file. exposed says why it may not be used.
func (f file) readAny() (blob []byte, exposed, err error) {
	if f == "" {
		return nil, nil, errors.New(`jwks: File has no path: write one such as "keys.json"`)
	}
	info, err := os.Lstat(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("jwks: key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		// A dangling link would look like a first start, and Save would replace it.
		exposed = fmt.Errorf("jwks: key file %s is not a regular file: write the path of the file itself, not of a link (a Secret volume of Kubernetes holds links and is read-only: use a writable volume)", f)
		if info, err = os.Stat(string(f)); err != nil || !info.Mode().IsRegular() {
			return nil, nil, exposed
		}
	}
	if err := readableByOthers(info); err != nil && exposed == nil {
		exposed = fmt.Errorf("jwks: key file %s %w", f, err)
	}
	blob, err = os.ReadFile(string(f))
	if err != nil {
		return nil, nil, fmt.Errorf("jwks: key file: %w", err)
	}
	if len(blob) == 0 {
		return nil, nil, fmt.Errorf("jwks: key file %s is empty: restore it from a backup, or remove it to start with new keys (tokens signed by the old ones are then refused)", f)
	}
	return blob, exposed, nil
}

func readableByOthers(info fs.FileInfo) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o007 != 0:
		return fmt.Errorf("can be read or written by every user (%v): run chmod 600 on it, and replace its keys if others may have read it", mode)
	case mode&0o070 != 0 && !ownGroup(info):
		return fmt.Errorf("can be read or written by a group that this process is not in (%v): run chmod 600 on it, and replace its keys if others may have read it", mode)
	}
	return nil
}

func (f file) Save(ctx context.Context, old, blob []byte) (saved bool, err error) {
	lock := flock.New(string(f)+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return false, fmt.Errorf("jwks: locking key file %s (is its directory there?): %w%s", f, err, f.advice(err))
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
		return false, fmt.Errorf("jwks: writing the key file: %w%s", err, f.advice(err))
	}
	return true, nil
}

// advice returns what helps against an error of the file system.
func (f file) advice(err error) string {
	dir := filepath.Dir(string(f))
	for _, known := range []struct {
		err    error
		advice string
	}{
		{syscall.EBUSY, "the file itself is a mount, which cannot be replaced: mount its directory " + dir + " instead of the file"},
		{syscall.EROFS, "its file system is read-only: mount the directory " + dir + " writable"},
		{syscall.ENOSPC, "the disk is full: make room"},
		{syscall.EDQUOT, "the disk quota is used up: make room"},
		{fs.ErrPermission, fmt.Sprintf("make the directory %s writable for this process's user (id %d), and mount it writable", dir, os.Getuid())},
	} {
		if errors.Is(err, known.err) {
			return ": " + known.advice
		}
	}
	return ""
}

// replaceFile replaces a file so that after a crash at any moment the path holds all
// of the old content or all of the new. The caller holds the lock, so one temporary
// name is enough, and a crash leaves at most that file behind.
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
		return nil // which cannot sync directories
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
