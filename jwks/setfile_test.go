package jwks

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func writeSet(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A changed file counts within seconds. Keys that stay keep their pointers.
func TestSetFileFollowsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set.json")
	synctest.Test(t, func(t *testing.T) {
		f := NewSetFile(path)
		if _, err := f.Key(t.Context(), "k0", ""); !errors.Is(err, ErrUnavailable) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("before there is a file: %v", err)
		}
		writeSet(t, path, numbered(0, 1))
		if _, err := f.Key(t.Context(), "k0", ""); !errors.Is(err, ErrUnavailable) {
			t.Errorf("the file was read again at once: %v", err)
		}
		time.Sleep(setFileFresh)
		first := mustKey(t, f, "k0")
		writeSet(t, path, numbered(0, 2)) // of the same size, at the same time
		mustKey(t, f, "k1")
		time.Sleep(setFileFresh)
		if mustKey(t, f, "k0") != first {
			t.Error("a key that stayed has another pointer")
		}
		mustKey(t, f, "k2")
		if _, err := f.Key(t.Context(), "k1", ""); !errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrUnavailable) {
			t.Errorf("a removed key: %v", err)
		}
	})
}

// While the file cannot be used, the last set serves for an hour, and Ready says why.
func TestSetFileThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	for name, spoil := range map[string]func(path string) error{
		"half":      func(path string) error { return os.WriteFile(path, []byte(numbered(0))[:20], 0o600) },
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"no key":    func(path string) error { return os.WriteFile(path, []byte(`{"keys":[]}`), 0o600) },
		"missing":   os.Remove,
		"directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			synctest.Test(t, func(t *testing.T) {
				writeSet(t, path, numbered(0))
				f := NewSetFile(path)
				key := mustKey(t, f, "k0")
				if err := spoil(path); err != nil {
					t.Fatal(err)
				}
				if err := f.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
					t.Errorf("Ready: %v", err)
				}
				time.Sleep(setFileStale - time.Second)
				if mustKey(t, f, "k0") != key {
					t.Error("the last set is not used")
				}
				if _, err := f.Key(t.Context(), "k1", ""); !errors.Is(err, ErrUnavailable) {
					t.Errorf("an unknown key, which the file may have: %v", err)
				}
				time.Sleep(time.Second)
				if _, err := f.Key(t.Context(), "k0", ""); !errors.Is(err, ErrUnavailable) {
					t.Errorf("after an hour: %v", err)
				}
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				writeSet(t, path, numbered(0))
				if err := f.Ready(t.Context()); err != nil {
					t.Errorf("Ready: %v", err)
				}
				mustKey(t, f, "k0")
			})
		})
	}
}

func TestSetFileOfNoPath(t *testing.T) {
	for _, f := range []*SetFile{nil, {}, NewSetFile("")} {
		if _, err := f.Key(t.Context(), "k0", ""); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Key: %v", err)
		}
		if err := f.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Ready: %v", err)
		}
	}
}

func TestSetFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set.json")
	writeSet(t, path, numbered(0))
	f := NewSetFile(path)
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if _, err := f.Key(t.Context(), "k0", ""); err != nil {
				t.Error(err)
			}
			_ = f.Ready(t.Context())
		})
	}
	callers.Wait()
	if n := testing.AllocsPerRun(100, func() { mustKey(t, f, "k0") }); n > 0 {
		t.Errorf("%v allocations for a key of a current set", n)
	}
}
