package jwks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// fsGroup of Kubernetes gives the file to a group of the process, and the group's
// permissions to the file, at each mount.
func TestFileOfOwnGroup(t *testing.T) {
	for _, mode := range []os.FileMode{0o660, 0o640, 0o620} {
		path := keyFile(t)
		first := sure(Open(t.Context(), File(path), Policy{}))
		kid := signedBy(t, first)
		first.Close()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		second := sure(Open(t.Context(), File(path), Policy{}))
		if got := signedBy(t, second); got != kid {
			t.Errorf("%v: %s signs", mode, got)
		}
		if err := second.Ready(t.Context()); err != nil {
			t.Errorf("%v: %v", mode, err)
		}
		second.Close()
	}
}

func TestFileOfOtherGroup(t *testing.T) {
	path := keyFile(t)
	sure(Open(t.Context(), File(path), Policy{})).Close()
	if err := errors.Join(os.Chmod(path, 0o640), os.Chown(path, -1, 54321)); err != nil {
		t.Skip("only root can give a file to another group: ", err)
	}
	if r, err := Open(t.Context(), File(path), Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), "a group that this process is not in") || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
}

// A backup job makes the file readable by all users, or a deployment makes it a link, while a
// keyring runs. It still signs, reports the fault and writes nothing.
func TestFileExposedWhileRunning(t *testing.T) {
	for name, change := range map[string]func(path string) (undo func() error, err error){
		"chmod 644": func(path string) (func() error, error) {
			return func() error { return os.Chmod(path, 0o600) }, os.Chmod(path, 0o644)
		},
		"link": func(path string) (func() error, error) {
			return func() error { return os.Rename(path+".real", path) }, errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		},
	} {
		for _, seal := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				path := keyFile(t)
				store := File(path)
				if seal {
					store = sure(Sealed(store, "issuer", kek(1)))
				}
				var heard listener
				r := opened(t, store, Policy{Observe: heard.observe})
				kid := signedBy(t, r)
				undo, err := change(path)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Hour)
				synctest.Wait()
				if got := signedBy(t, r); got != kid || get(t, r).Code != 200 {
					t.Errorf("%s: %s signs", name, got)
				}
				if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.KeysExposed || e.Err == nil {
					t.Errorf("%s: %+v", name, e)
				}
				if err := r.Ready(t.Context()); err == nil || errors.Is(err, ErrUnavailable) {
					t.Errorf("%s: Ready: %v", name, err)
				}
				if again, err := Open(t.Context(), store, Policy{}); again != nil || err == nil {
					t.Errorf("%s: another keyring opened the file", name)
				}
				if err := undo(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if e := heard.one(t); e.Reason != "" {
					t.Errorf("%s: %+v", name, e)
				}
			})
		}
	}
}

// The directory may be a link that is then changed to another directory, as Kubernetes
// does with ..data.
func TestFileInALinkedDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		data := filepath.Join(dir, "..data")
		for _, name := range []string{"one", "two"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("one", data); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(data, "keys.json")
		r := opened(t, File(path), Policy{})
		kid := signedBy(t, r)
		if err := errors.Join(os.Symlink("two", data+".new"), os.Rename(data+".new", data)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // the file is gone, so the keyring writes it back
		if got := signedBy(t, r); got != kid {
			t.Errorf("%s signs", got)
		}
		again := opened(t, File(path), Policy{})
		if got := signedBy(t, again); got != kid {
			t.Errorf("after a restart %s signs", got)
		}
	})
}

// A key file that cannot be read while a keyring runs is a store that is away. The
// keyring signs until its snapshot is too old, reports the fault at once, and signs again
// when the file can be read.
func TestFileUnreadableWhileRunning(t *testing.T) {
	changes := map[string]func(path string) (undo func() error, err error){
		"dangling link": func(path string) (func() error, error) {
			undo := func() error { return os.Rename(path+".real", path) }
			return undo, errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".gone", path))
		},
		"directory": func(path string) (func() error, error) {
			undo := func() error { return errors.Join(os.Remove(path), os.Rename(path+".real", path)) }
			return undo, errors.Join(os.Rename(path, path+".real"), os.Mkdir(path, 0o700))
		},
		"empty": func(path string) (func() error, error) {
			undo := func() error { return os.Rename(path+".real", path) }
			return undo, errors.Join(os.Rename(path, path+".real"), os.WriteFile(path, nil, 0o600))
		},
		"mode 000": func(path string) (func() error, error) {
			return func() error { return os.Chmod(path, 0o600) }, os.Chmod(path, 0)
		},
	}
	if os.Getuid() == 0 {
		delete(changes, "mode 000") // root can read it
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := keyFile(t)
				var heard listener
				r := opened(t, File(path), Policy{Observe: heard.observe})
				kid := signedBy(t, r)
				undo, err := change(path)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(55 * time.Minute)
				synctest.Wait()
				if got := signedBy(t, r); got != kid {
					t.Errorf("%s signs", got)
				}
				if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.StoreUnavailable || !strings.Contains(e.Err.Error(), "key file") {
					t.Errorf("%+v", e)
				}
				if err := r.Ready(t.Context()); err == nil {
					t.Error("Ready reports nothing")
				}
				time.Sleep(10 * time.Minute)
				if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
					t.Errorf("after 65 min: %v", err)
				}
				if err := undo(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if got := signedBy(t, r); got != kid || r.Ready(t.Context()) != nil {
					t.Errorf("%s signs, Ready: %v", got, r.Ready(t.Context()))
				}
			})
		})
	}
}
