package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestREADME holds what the README promises of itself, and what it says of go.mod.
func TestREADME(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(content)
	if lines := strings.Count(readme, "\n"); lines >= 200 {
		t.Errorf("the README has %d lines, and not less than 200", lines)
	}
	for line := range strings.Lines(fencedCode.ReplaceAllString(readme, "")) {
		if len(line) > 140 {
			t.Errorf("a line has %d bytes: %s", len(line), line)
		}
	}
	blocks := goBlocks(t, readme)
	if lines := strings.Count(blocks[0], "\n"); lines > 40 {
		t.Errorf("the one-app program has %d lines, more than 40", lines)
	}

	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for says, line := range map[string]string{
		"Needs Go %s or later": `(?m)^go (\d+\.\d+)`,
		"Made for Echo %s;":    `labstack/echo/v(\d+) `,
	} {
		version := regexp.MustCompile(line).FindStringSubmatch(string(mod))
		if len(version) != 2 {
			t.Fatalf("go.mod has no %s", line)
		}
		if want := fmt.Sprintf(says, version[1]); !strings.Contains(readme, want) {
			t.Errorf("by go.mod the README should say: %s", want)
		}
	}
}

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
