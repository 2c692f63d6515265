//go:build !nosqlite

package sqlite_test

import (
	"context"
	"database/sql"
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
	"github.com/echo-m2m/m2m/issuer/storetest"
)

func open(t *testing.T, path string) *sqlstore.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
		store := open(t, filepath.Join(t.TempDir(), "m2m.db"))
		for _, c := range clients {
			if _, err := store.Register(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		return store
	})
}

// No other user can read any of the files, with any umask.
func TestPermissions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m2m.db")
	store := open(t, path)
	if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 3 {
		t.Errorf("%d files, %v, want the database, -wal and -shm", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has %v, %v, want 0600", f.Name(), info.Mode(), err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("own.db", 0o600)
	write("wal.db", 0o600)
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	if err := os.WriteFile(other, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                                 "registry.NewMemory",
		":memory:":                         "registry.NewMemory",
		"file:x.db?mode=memory":            "registry.NewMemory",
		filepath.Join(dir, "none", "x.db"): "no such file",
		dir:                                "not a regular file",
		link:                               "not a regular file",
		write("group.db", 0o640):           "chmod 600",
		write("world.db", 0o604):           "chmod 600",
		strings.TrimSuffix(write("wal.db-wal", 0o644), "-wal"): "chmod 600",
		other: "not a database",
	} {
		store, err := sqlite.Open(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sqlite: ") {
			t.Errorf("Open(%q): %v, want an error with %q", path, err, want)
		}
		if store != nil {
			store.Close()
		}
	}
	if content, err := os.ReadFile(other); err != nil || !strings.HasPrefix(string(content), "not a database\n") || len(content) != 15_000 {
		t.Error("a file that is not a database was written to")
	}
}

// No character in the path has a special meaning.
func TestOddPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=memory.db", "a#b.db", "100%41.db", "ä.db", "a&_pragma=synchronous(OFF).db", "'q\".db"} {
		path := filepath.Join(t.TempDir(), name)
		open(t, path)
		if info, err := os.Stat(path); err != nil || info.Size() == 0 && !exists(path+"-wal") {
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Chdir(t.TempDir())
	open(t, "relative.db")
	if !exists("relative.db") {
		t.Error("a relative path opens another file")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Many opens of a new file at once all succeed.
func TestOpenedByMany(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "m2m.db")
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				store, err := sqlite.Open(t.Context(), path)
				if err != nil {
					t.Error(err)
					return
				}
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
}

// After Close one file holds everything.
func TestClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m2m.db")
	store := open(t, path)
	if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if exists(path + "-wal") {
		t.Error("the write-ahead log is left behind")
	}
	if _, err := open(t, path).Client(t.Context(), "c"); err != nil {
		t.Error(err)
	}
}

// Every connection has the settings that durability and waiting depend on.
func TestSettings(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m2m.db")
	open(t, path)
	ctx := t.Context()
	db, err := sql.Open("sqlite", sqlite.Source(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 4 {
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
			var got string
			if err := conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s = %s, %v, want %s", pragma, got, err, want)
			}
		}
	}
}

// Readers do not wait for a writer. A blocked writer waits no longer than its context.
func TestReadersAndWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m2m.db")
	store := open(t, path)
	if _, err := store.Register(t.Context(), registry.Client{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { // they queue in this process, and the first waits for the open transaction
			if _, err := store.Once(ctx, "s", "i", time.Now().Add(time.Hour)); err == nil {
				t.Error("a second writer wrote")
			}
		})
		group.Go(func() {
			for range 5 {
				if _, err := store.Client(t.Context(), "c"); err != nil {
					t.Errorf("a reader: %v", err)
				}
			}
		})
	}
	group.Wait()
	if took := ctx.Err(); took == nil {
		t.Error("the writers gave up before their deadline")
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := store.Once(t.Context(), "s", fmt.Sprint(i), time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
}
