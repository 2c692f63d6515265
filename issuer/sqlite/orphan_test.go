//go:build !nosqlite

package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
)

// copyFile copies one of a database's files, as a crash leaves it.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A log beside a missing or empty file is not overwritten. With the file back, every
// acknowledged write is there.
func TestLogWithoutFile(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"deleted": os.Remove,
		"emptied": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path, crashed := filepath.Join(dir, "m2m.db"), filepath.Join(dir, "crashed.db")
			store := open(t, path)
			if _, err := store.Register(t.Context(), registry.Client{ID: "late"}); err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"", "-wal"} {
				copyFile(t, path+part, crashed+part)
			}
			copyFile(t, crashed, crashed+".kept")
			log, err := os.ReadFile(crashed + "-wal")
			if err != nil || len(log) == 0 {
				t.Fatal(len(log), err)
			}
			if err := lose(crashed); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := sqlite.Open(t.Context(), crashed)
				if err == nil || !strings.Contains(err.Error(), "crashed.db-wal") || !strings.Contains(err.Error(), "put its file back") {
					t.Fatalf("got %v, want an error that names the log and says what to do", err)
				}
			}
			if now, err := os.ReadFile(crashed + "-wal"); err != nil || !bytes.Equal(now, log) {
				t.Fatalf("the log was changed: %v", err)
			}
			if err := os.Rename(crashed+".kept", crashed); err != nil {
				t.Fatal(err)
			}
			if _, err := open(t, crashed).Client(t.Context(), "late"); err != nil {
				t.Errorf("with the file back: %v", err)
			}
		})
	}
}

// The same holds for a journal. The journal of an empty database is the exception: a
// process that is killed in its first Open leaves one.
func TestJournalWithoutFile(t *testing.T) {
	t.Parallel()
	magic := "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
	for name, tt := range map[string]struct {
		journal string
		refused bool
	}{
		"of a database":     {magic + "\x00\x00\x00\x01noncxxxx\x00\x00\x00\x01" + strings.Repeat("x", 512), true},
		"pages before it":   {magic + "\x00\x00\x00\x01nonc\x00\x00\x00\x09" + strings.Repeat("x", 512), true},
		"of an empty one":   {magic + "\x00\x00\x00\x00nonc\x00\x00\x00\x00" + strings.Repeat("\x00", 492), false},
		"of something else": {"notes", true},
		"empty":             {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "m2m.db")
			if err := os.WriteFile(path+"-journal", []byte(tt.journal), 0o600); err != nil {
				t.Fatal(err)
			}
			if !tt.refused {
				open(t, path)
				return
			}
			if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "m2m.db-journal") {
				t.Errorf("got %v", err)
			}
			if left, err := os.ReadFile(path + "-journal"); err != nil || string(left) != tt.journal {
				t.Errorf("the journal was changed: %v", err)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Error("a file was made")
			}
		})
	}
}
