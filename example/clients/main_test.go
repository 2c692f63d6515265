package main

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/example/clients/tool"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
)

// TestHangingDatabase wants an error soon, which names the server and no password.
func TestHangingDatabase(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := silent.Addr().String()
	t.Setenv("DATABASE_URL", "postgres://m2m:hunter2@"+address+"/m2m")
	began := time.Now()
	_, _, err = open(t.Context(), 200*time.Millisecond)
	if took := time.Since(began); err == nil || took > 5*time.Second {
		t.Fatalf("%v after %v", err, took)
	}
	for _, says := range []string{"no connection to DATABASE_URL " + address + "/m2m", "nothing was changed"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("the error %q does not say %q", err, says)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error %q has the password", err)
	}
}

func TestPlaceOf(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://m2m:secret@db/m2m":                                "db:5432/m2m",
		"postgres://m2m@one,two:6432/m2m?sslmode=disable":             "one:5432,two:6432/m2m",
		"host=db user=m2m password=x dbname=tokens sslmode=verify-ca": "db:5432/tokens",
	} {
		if got, err := placeOf(url); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", url, got, err, want)
		}
	}
}

// TestVerbs wants each verb to say where it changed what.
func TestVerbs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "issuer.db")
	t.Setenv("DATA_DIR", dir)
	t.Setenv("DATABASE_URL", "")
	do := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		p := program()
		p.Out, p.Err = &out, &out
		if status := p.Run(t.Context(), args); status != tool.Done {
			t.Fatalf("%q: status %d, %s", args, status, out.String())
		}
		return out.String()
	}
	last := func(out string) string { words := strings.Fields(out); return words[len(words)-1] }

	if out := do("migrate"); !strings.HasPrefix(out, path+": the tables were made") {
		t.Errorf("migrate: %s", out)
	}
	first := last(do("add", "a", "-audience", "https://api.example.com"))
	second := last(do("rotate-secret", "a", "-overlap", "1h"))
	secrets := func() []registry.Secret {
		t.Helper()
		store, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		c, err := store.Client(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return c.Secrets
	}
	if n := len(secrets()); n != 2 {
		t.Fatalf("%d secrets after a rotation", n)
	}
	for says, args := range map[string][]string{
		"there is no such client or secret": {"remove-secret", "a", "other"},
		"one client id and one secret":      {"remove-secret", "a"},
		"name one client id, or -all":       {"revoke"},
		"or -all; see":                      {"revoke", "a", "-all"},
	} {
		var out bytes.Buffer
		p := program()
		p.Out, p.Err = &out, &out
		if status := p.Run(t.Context(), args); status != tool.Failed || !strings.Contains(out.String(), says) {
			t.Errorf("%q: status %d, %s, want %q", args, status, out.String(), says)
		}
	}
	id, _ := registry.SecretID(second)
	for _, step := range []struct {
		args []string
		says string
	}{
		{[]string{"remove-secret", "a", first, "-revoke"}, "tokens got with it are revoked"}, // the secret itself
		{[]string{"remove-secret", "-revoke=false", "a", id}, "secret " + id + " of client a is removed; tokens got with it are still valid"},
		{[]string{"rotate-secret", "a", "-revoke"}, "within 2 s"},
		{[]string{"rotate-secret", "a", "-overlap", "0"}, "still valid"},
		{[]string{"disable", "a"}, "is disabled"},
		{[]string{"enable", "a"}, "is enabled"},
		{[]string{"revoke", "a"}, "of client a are revoked"},
		{[]string{"revoke", "-all"}, "of all clients are revoked"},
		{[]string{"delete", "a"}, "is deleted"},
	} {
		if out := do(step.args...); !strings.HasPrefix(out, path+": ") || !strings.Contains(out, step.says) {
			t.Errorf("%q says %q, want %s: … %s", step.args, out, path, step.says)
		}
	}
}
