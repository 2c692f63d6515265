package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestREADME compiles every Go block of the README. A block that is a fragment
// gets the program around it.
func TestREADME(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := goBlocks(t, string(content))
	if len(blocks) < 2 {
		t.Fatalf("the README has %d Go blocks", len(blocks))
	}
	if lines := strings.Count(blocks[0], "\n"); lines > 40 {
		t.Errorf("the one-app program has %d lines, more than 40", lines)
	}
	var programs []string
	for _, block := range blocks {
		if !strings.HasPrefix(block, "package ") {
			block = fragment(block)
		}
		programs = append(programs, block)
	}
	vet(t, programs)
}

// goBlocks returns the Go blocks of a page.
func goBlocks(t *testing.T, page string) (blocks []string) {
	t.Helper()
	for rest := page; ; {
		_, after, ok := strings.Cut(rest, "```go\n")
		if !ok {
			return blocks
		}
		block, after, ok := strings.Cut(after, "```")
		if !ok {
			t.Fatal("a Go block has no end")
		}
		blocks, rest = append(blocks, block), after
	}
}

// vet compiles programs of one file each, in a module that requires what this one
// does, and fails with what is wrong with them.
func vet(t *testing.T, programs []string) {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if name == "go.mod" {
			text = strings.Replace(text, "module "+module, "module example.com/pages", 1) +
				"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + strconv.Quote(root) + "\n"
		}
		write(name, text)
	}
	for n, program := range programs {
		write(fmt.Sprintf("block%d/main.go", n), program)
	}
	cmd := exec.Command("go", "vet", "-mod=mod", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	t.Errorf("%v\n%s", err, out)
	for n, program := range programs {
		if strings.Contains(string(out), fmt.Sprintf("block%d/", n)) {
			t.Logf("block%d:\n%s", n, program)
		}
	}
}

// declared finds what a fragment declares, at the start of a line.
var declared = regexp.MustCompile(`(?m)^(\w+)(?:, (\w+))? :=`)

// fragment is a program around some lines. What they declare counts as used.
func fragment(block string) string {
	var used strings.Builder
	for _, names := range declared.FindAllStringSubmatch(block, -1) {
		for _, name := range names[1:] {
			if name != "" {
				used.WriteString("\t_ = " + name + "\n")
			}
		}
	}
	return `package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const authURL = "https://auth.example.com"

var (
	ctx              = context.Background()
	keyEncryptionKey []byte
	keys             *jwks.Keyring
	store            registry.Store
	manager          registry.Manager
	iss              *issuer.Issuer
	auth             *bearer.Bearer
	orders           http.Handler
	e                *echo.Echo
	proxies          *net.IPNet
	mux              *http.ServeMux

	_ = cmp.Or[string]
	_ = os.Getenv
	_ = strings.Join
	_ = time.Unix
	_ = slog.Info
	_ = issuer.New
	_ = sqlstore.Open
	_ = jwks.Open
	_ = event.Reasons
	_ = bearer.New
)

func main() {
` + block + used.String() + `
}
`
}
