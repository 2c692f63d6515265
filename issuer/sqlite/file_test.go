//go:build !nosqlite

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// refused fails unless every call says what happened to the file.
func refused(t *testing.T, store *sqlstore.Store, want string) {
	t.Helper()
	_, errClient := store.Client(t.Context(), "c")
	_, errChanges := store.Changes(t.Context(), 0)
	_, errRevoke := store.Revoke(t.Context(), registry.CutOff("c"))
	_, errOnce := store.Once(t.Context(), "s", "i", time.Now().Add(time.Hour))
	_, errRegister := store.Register(t.Context(), registry.Client{ID: "new"})
	for method, err := range map[string]error{
		"Client": errClient, "Changes": errChanges, "Revoke": errRevoke, "Once": errOnce, "Register": errRegister, "Ready": store.Ready(t.Context()),
		"Status": store.Status().FileError,
	} {
		if err == nil || errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", method, err, want)
		}
	}
}

// A file that is moved or replaced while it is open is an error, never a new file. When
// it is back the store works again.
func TestFileMovedOrReplaced(t *testing.T) {
	t.Parallel()
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			panic(err)
		}
	}
	for name, tt := range map[string]struct {
		lose, back func(path string)
		want       string
	}{
		"moved":     {func(p string) { move(p, p+".away") }, func(p string) { move(p+".away", p) }, "was deleted"},
		"log moved": {func(p string) { move(p+"-wal", p+".away") }, func(p string) { move(p+".away", p+"-wal") }, "-wal was deleted"},
		"replaced":  {func(p string) { move(p, p+".away"); move(p+".other", p) }, func(p string) { move(p, p+".other"); move(p+".away", p) }, "was replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "m2m.db")
			other := open(t, path+".new")
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			move(path+".new", path+".other")
			store, err := sqlite.Open(context.Background(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
				t.Fatal(err)
			}
			tt.lose(path)
			refused(t, store, tt.want)
			busy(t, store) // so that connections are made
			tt.back(path)
			if _, err := store.Client(t.Context(), "c"); err != nil {
				t.Errorf("the file is back: %v", err)
			}
			if _, err := store.Revoke(t.Context(), registry.CutOff("c")); err != nil {
				t.Errorf("the file is back: %v", err)
			}
			if err := store.Ready(t.Context()); err != nil {
				t.Errorf("the file is back: %v", err)
			}
		})
	}
}

// busy makes many reads at once, which must all fail.
func busy(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	errs := make(chan error, 64)
	for i := range cap(errs) {
		go func() {
			_, err := store.Client(t.Context(), fmt.Sprint("c", i))
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err == nil || errors.Is(err, registry.ErrNotFound) {
			t.Errorf("a read of a database that is gone: %v", err)
		}
	}
}

// After the file was deleted no write is acknowledged, and no file is created.
func TestDeleted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "m2m.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, store, "was deleted")
	busy(t, store)
	_ = store.Close()
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v: files were made", files, err)
	}
	if again := open(t, path); !again.Status().New {
		t.Error("the next start does not say that the database is new")
	}
}

// The directory is a link that is changed while the file is open, as orchestrators do with
// volumes.
func TestLinkedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "data")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	store := open(t, filepath.Join(link, "m2m.db"))
	if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(link), os.Symlink("two", link)); err != nil {
		t.Fatal(err)
	}
	atOnce := func() {
		t.Helper()
		var group sync.WaitGroup
		for range 64 {
			group.Go(func() {
				for range 5 {
					if _, err := store.Client(t.Context(), "c"); errors.Is(err, registry.ErrNotFound) {
						t.Error("a client was read from the other directory")
					}
				}
			})
		}
		group.Wait()
	}
	atOnce()
	if files, err := os.ReadDir(filepath.Join(dir, "two")); err != nil || len(files) != 0 {
		t.Errorf("files were made in the other directory: %v, %v", files, err)
	}
	open(t, filepath.Join(dir, "two", "m2m.db"))
	atOnce()
}

// The feed of an older backup ends before what replicas have read. New entries still get
// sequences above all earlier ones. The database does not count as new.
func TestRestoredOlder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m2m.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", sqlite.Source(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", path+".backup"); err != nil {
		t.Fatal(err)
	}
	last, err := store.Revoke(t.Context(), registry.CutOff("c"))
	if err := errors.Join(err, db.Close(), store.Close(), os.Rename(path+".backup", path), os.Chmod(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	store = open(t, path)
	page, err := store.Changes(t.Context(), last)
	if err != nil || page.End >= last || len(page.Changes) != 0 {
		t.Errorf("restored: %+v, %v, want an end before %d", page, err, last)
	}
	again, err := store.Revoke(t.Context(), registry.CutOff("c"))
	if err != nil || again <= last {
		t.Errorf("sequence %d after %d, %v", again, last, err)
	}
	if page, err := store.Changes(t.Context(), last); err != nil || len(page.Changes) != 1 {
		t.Errorf("a replica that had read up to %d gets %+v, %v", last, page, err)
	}
	if store.Status().New {
		t.Error("the restored database counts as new")
	}
}

// The volume of a pod with an fsGroup is made group-writable at every mount.
func TestFSGroup(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m2m.db")
	store := open(t, path)
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Chmod(name, 0o660); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
		t.Errorf("a mode that changes stops a store that runs: %v", err)
	}
	if _, err := open(t, path).Client(t.Context(), "c"); err != nil {
		t.Error(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o664, 0o604, 0o670} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

// The error for a damaged file, or one that is not a database, says what to do.
func TestDamagedAtStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m2m.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("garbage ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("%v", err)
	}
}
