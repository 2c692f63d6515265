package main

import (
	"fmt"
	"os"
	"regexp"
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
		"Needs Go %s or later": `(?m)^go (\d+\.\d+(?:\.\d+)?)$`,
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
