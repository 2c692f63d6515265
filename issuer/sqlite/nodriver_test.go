//go:build nosqlite

package sqlite_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/sqlite"
)

// A program that was built without the driver says so, and makes no file.
func TestDriverLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m2m.db")
	store, err := sqlite.Open(t.Context(), path)
	if store != nil || err == nil || !strings.Contains(err.Error(), "-tags nosqlite") {
		t.Errorf("%v, %v", store, err)
	}
	if files, err := filepath.Glob(path + "*"); err != nil || len(files) != 0 {
		t.Errorf("made %q, %v", files, err)
	}
}
