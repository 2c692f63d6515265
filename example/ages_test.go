//go:build !nosqlite

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLostFiles starts the example with a new database and old keys, then with an old
// database and no keys. It warns of both, and not at a first start or a restart.
func TestLostFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	begin := func(says string) {
		t.Helper()
		p := start(t, "example", "DATA_DIR="+dir)
		if status, body := call(t, "GET", p.url+"/readyz", "", ""); status != http.StatusOK {
			t.Errorf("readyz: %d %s", status, body)
		}
		p.stop(t)
		if said := p.said(); strings.Contains(said, "WARNING") != (says != "") || !strings.Contains(said, says) {
			t.Errorf("said:\n%s\nwant %q", said, says)
		}
	}
	lose := func(pattern string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%v, %v", files, err)
		}
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin("")
	begin("")
	lose("issuer.db*")
	begin("WARNING: the database is new and empty, and the signing keys are old")
	lose("keys.json*")
	begin("WARNING: the database has clients, and there are no signing keys")
}

// TestTwoIssuersInOneDatabase tells them apart by ISSUER_NAME.
func TestTwoIssuersInOneDatabase(t *testing.T) {
	t.Parallel()
	url := "DATABASE_URL=" + database(t)
	one := start(t, "example", url, kek, "CLIENT_ID=first", "CLIENT_SECRET=secret456")
	two := start(t, "example", url, kek, "ISSUER_NAME=two", "CLIENT_ID=second", "CLIENT_SECRET=secret456")
	one.token(t, "first", "secret456")
	two.token(t, "second", "secret456")
	if table := clients(t, []string{url}, "list"); !strings.Contains(table, "first") || strings.Contains(table, "second") {
		t.Errorf("the first issuer's clients:\n%s", table)
	}
	if table := clients(t, []string{url, "ISSUER_NAME=two"}, "list"); !strings.Contains(table, "second") || strings.Contains(table, "first") {
		t.Errorf("the second issuer's clients:\n%s", table)
	}
	if said := two.said(); strings.Contains(said, "WARNING") {
		t.Errorf("a new issuer in an old database said:\n%s", said)
	}
}
