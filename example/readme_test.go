package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestREADME compiles every Go block of the README. A block that is a fragment
// gets the program around it.
func TestREADME(t *testing.T) {
	content, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for rest := string(content); ; {
		_, after, ok := strings.Cut(rest, "```go\n")
		if !ok {
			break
		}
		block, after, ok := strings.Cut(after, "```")
		if !ok {
			t.Fatal("a Go block has no end")
		}
		blocks, rest = append(blocks, block), after
	}
	if len(blocks) < 2 {
		t.Fatalf("the README has %d Go blocks", len(blocks))
	}
	if lines := strings.Count(blocks[0], "\n"); lines > 40 {
		t.Errorf("the one-app program has %d lines, more than 40", lines)
	}
	for _, block := range blocks {
		if !strings.HasPrefix(block, "package ") {
			block = fragment(block)
		}
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		vet := exec.Command("go", "vet", file)
		vet.Dir = ".." // the module's root, whose packages the block imports
		if out, err := vet.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, block)
		}
	}
}

// fragment is a program around some lines that make an auth or an iss.
func fragment(block string) string {
	made := "auth"
	if strings.Contains(block, "iss, err") {
		made = "iss"
	}
	return `package main

import (
	"context"
	"os"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const authURL = "https://auth.example.com"

var (
	ctx              = context.Background()
	keyEncryptionKey []byte

	_ = os.Getenv
	_ = issuer.New
	_ = sqlstore.Open
	_ = jwks.Open
	_ = bearer.New
)

func main() {
` + block + `
	_, _ = err, ` + made + `
}
`
}
