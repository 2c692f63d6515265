//go:build !nosqlite

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/example/clients/tool"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
)

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
