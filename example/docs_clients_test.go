//go:build !nosqlite

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// language is how a program of clients.md is run.
type language struct {
	info    string   // of its fence
	file    string   // its name
	command []string // which runs it
	needs   string   // a command that fails where something is not installed
}

// languages are looked up by what a block contains, the first that fits.
var languages = []struct {
	contains string
	language
}{
	{"authlib", language{"python", "authlib_client.py", []string{"/usr/bin/python3"}, "/usr/bin/python3 -c 'import authlib, requests'"}},
	{"import requests", language{"python", "requests_client.py", []string{"/usr/bin/python3"}, "/usr/bin/python3 -c 'import requests'"}},
	{"openid-client", language{"js", "openid.mjs", []string{"node"}, "test -d ../.ci/interop/node_modules/openid-client && command -v node"}},
	{"await fetch", language{"js", "fetch.mjs", []string{"node"}, "command -v node"}},
	{"public class Client", language{"java", "Client.java", []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}, "command -v javac"}},
	{"curl", language{"bash", "curl.sh", []string{"bash", "-euo", "pipefail"}, "command -v curl"}},
	{"package main", language{"go", "main.go", nil, "command -v go"}},
}

// notRun are blocks of clients.md that no test runs, by what they contain. The page
// says so.
var notRun = []string{"RestClient", "spring:"}

// TestDocsClients runs every program of clients.md against the example: each gets a
// token and prints the orders.
func TestDocsClients(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the clients of the page are run on Linux")
	}
	issuer := start(t, "example", "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456")
	env := append(os.Environ(), "ISSUER="+issuer.url, "API="+issuer.url+"/v1/orders", "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456",
		"AUTHLIB_INSECURE_TRANSPORT=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "PYTHONDONTWRITEBYTECODE=1")
	ran := 0
	for _, block := range fencedBlocks(pages(t)[docs+"/clients.md"]) {
		if slices.ContainsFunc(notRun, func(s string) bool { return strings.Contains(block.text, s) }) {
			continue
		}
		n := slices.IndexFunc(languages, func(l struct {
			contains string
			language
		},
		) bool {
			return l.info == block.info && strings.Contains(block.text, l.contains)
		})
		if n < 0 {
			t.Errorf("nothing runs this block:\n%s", block.text)
			continue
		}
		ran++
		t.Run(languages[n].file, func(t *testing.T) {
			t.Parallel()
			languages[n].run(t, block.text, env)
		})
	}
	if ran != len(languages) {
		t.Errorf("%d programs, want one of each of the %d kinds", ran, len(languages))
	}
}

func (l language) run(t *testing.T, program string, env []string) {
	t.Helper()
	if err := exec.Command("sh", "-c", l.needs).Run(); err != nil {
		t.Skipf("%s IS NOT RUN: what it needs is not installed: %s", l.file, l.needs)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, l.file)
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	command := append(slices.Clone(l.command), path)
	switch l.info {
	case "js":
		modules, err := filepath.Abs("../.ci/interop/node_modules")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
	case "go": // TestDocsCode compiles it in its module
		if _, err := writePages(); err != nil {
			t.Fatal(err)
		}
		m, err := thePages()
		if err != nil {
			t.Fatal(err)
		}
		command = []string{filepath.Join(m.dir, "bin", "client")}
		if out, err := m.goTool("build", "-ldflags=-s -w", "-o", command[0], "./clients_0"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Dir = env, dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "a dozen eggs") {
		t.Errorf("it did not print the orders:\n%s", out)
	}
}
