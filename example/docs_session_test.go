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
	env, ok := strings.CutSuffix(strings.TrimSpace(steps[0]), " go run ./example &")
	if !ok {
		t.Fatalf("the first command is %q", steps[0])
	}
	p := start(t, "example", strings.Fields(env)...)
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
		if args, ok := strings.CutPrefix(strings.Trim(code, "`"), "go run ./example/clients "); ok {
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
