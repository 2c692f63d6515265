package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPages compiles the Go programs of the pages on coming from another library: this
// module has the dependencies of both sides. Each page says how many lines the first
// program, of before, and the second, of after, have.
func TestPages(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]int{"from-echo-jwt.md": 3, "from-auth0-middleware.md": 2} {
		content, err := os.ReadFile("../../.github/docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		var lines []int
		for n, block := range strings.Split(string(content), "```go\n")[1:] {
			program, _, _ := strings.Cut(block, "```")
			if !strings.HasPrefix(program, "package main\n") {
				continue // a fragment, which example compiles
			}
			lines = append(lines, strings.Count(program, "\n"))
			file := filepath.Join(t.TempDir(), fmt.Sprintf("%d.go", n))
			if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
				t.Errorf("%s, program %d: %v\n%s", page, n, err, out)
			}
		}
		if len(lines) != want {
			t.Fatalf("%s has %d programs, want %d", page, len(lines), want)
		}
		if says := fmt.Sprintf("%d lines become %d.", lines[0], lines[1]); !strings.Contains(strings.ReplaceAll(string(content), "\n", " "), says) {
			t.Errorf("%s does not say that %s", page, says)
		}
	}
}
