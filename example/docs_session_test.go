//go:build !nosqlite

package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestREADMESession runs the session of the README against the example, and expects
// answers with the members that the README prints. Commands of the clients tool within
// sentences are run as well.
func TestREADMESession(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, session, _ := strings.Cut(string(content), "```console\n")
	session, _, _ = strings.Cut(session, "```")
	steps := strings.Split(strings.TrimPrefix(session, "$ "), "\n$ ")
	if len(steps) != 3 {
		t.Fatalf("the session has %d commands", len(steps))
	}
	command, listening, _ := strings.Cut(steps[0], "\n")
	env, ok := strings.CutSuffix(command, " go run ./example")
	if !ok {
		t.Fatalf("the first command is %q", steps[0])
	}
	p := start(t, "example", strings.Fields(env)...)
	says, _, _ := strings.Cut(listening, " process")
	if says = strings.ReplaceAll(says, "http://127.0.0.1:8080", p.url); says == "" || !strings.Contains(p.said(), says) {
		t.Errorf("the README prints %q, and the example:\n%s", says, p.said())
	}
	token := ""
	for _, step := range steps[1:] {
		command, want, _ := strings.Cut(step, "\n{")
		command = strings.NewReplacer("http://127.0.0.1:8080", p.url, "eyJhbGciOi…0AqvOQ", token, "curl", "curl -fsS").Replace(command)
		got := shell(t, command)
		members := objectOf(t, got)
		printed := objectOf(t, "{"+strings.TrimSpace(want))
		if names, wanted := slices.Sorted(maps.Keys(members)), slices.Sorted(maps.Keys(printed)); !slices.Equal(names, wanted) {
			t.Errorf("%s\nanswered %s\nthe README prints %s", command, got, want)
		}
		if granted, ok := members["access_token"].(string); ok {
			token = granted
		}
	}
	tools := 0
	for _, code := range inlineCode.FindAllString(string(content), -1) {
		if args, ok := strings.CutPrefix(strings.Trim(code, "`"), "DATA_DIR=. go tool clients "); ok {
			tools++
			clients(t, []string{"DATA_DIR=" + filepath.Join(p.Dir, "data")}, strings.Fields(args)...)
		}
	}
	if tools == 0 {
		t.Error("the README has no command of the clients tool")
	}
	p.stop(t)
}

func objectOf(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return object
}

// shell runs a command line and returns what it printed.
func shell(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", command).Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// TestREADMEThenPlain starts the example with the client of the README's session, and
// then without one. The second start says how to get a secret of the client.
func TestREADMEThenPlain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, "example", "DATA_DIR="+dir, "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456")
	p.says(t, "Stop with Ctrl-C")
	p.stop(t)
	for _, program := range []string{"example", "issuer"} {
		p := start(t, program, "DATA_DIR="+dir)
		p.says(t, "Stop with Ctrl-C")
		for _, says := range []string{"no demo client was made", "\n  go run ./example/clients list\n", "\n  go run ./example/clients rotate-secret ID "} {
			if !strings.Contains(p.said(), says) {
				t.Errorf("the second start of %s does not say %q:\n%s", program, says, p.said())
			}
		}
		words := strings.Fields(clients(t, []string{"DATA_DIR=" + dir}, "rotate-secret", "myapp123"))
		secret := words[len(words)-1]
		eventually(t, 10*time.Second, "the issuer knows the new secret", func() bool { return p.grants(t, "myapp123", secret) })
		p.stop(t)
	}
}
