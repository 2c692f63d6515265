//go:build !nosqlite

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// systemctl is what the pages start and stop the issuer with. Here it is a process
// of the test.
const systemctl = `#!/bin/bash
running() { [[ -s $PIDFILE && -d /proc/$(cat "$PIDFILE") ]] && ! grep -q '^State:.Z' "/proc/$(cat "$PIDFILE")/status"; }
stop() {
  running || return 0
  kill -TERM "$(cat "$PIDFILE")"
  while running; do sleep 0.05; done
}
start() {
  example >>"$LOG" 2>&1 </dev/null &
  echo $! >"$PIDFILE"
  for _ in {1..200}; do
    curl -fsS -o /dev/null "$ISSUER/readyz" 2>/dev/null && return
    running || break
    sleep 0.1
  done
  cat "$LOG"
  exit 1
}
case $1 in
stop) stop ;;
start) start ;;
restart) stop; start ;;
esac
`

// TestDocsCommands runs the commands of the pages, in order, beside a running issuer on
// SQLite or PostgreSQL, as each block says. $TOKEN is a token of it. After the last
// command the issuer must be ready, and an earlier client must get a token that works.
// A block of commands that nothing runs is an error.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the pages' commands are run on Linux")
	}
	for _, tool := range []string{"bash", "curl", "openssl", "sqlite3", "psql", "pg_dump", "pg_restore"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s IS NOT INSTALLED: the commands of the pages in .github/docs are not run", tool)
		}
	}
	ran := 0
	for path, text := range pages(t) {
		scripts := map[string]string{}
		for _, block := range fencedBlocks(text) {
			switch what, kind, _ := strings.Cut(block.info, " run "); {
			case what == "sh" && (kind == "sqlite" || kind == "postgres"):
				scripts[kind] += block.text
			case block.info == "sh run gateway" && path == docs+"/gateway.md": // TestDocsGateway
			case block.info == "sh not run": // and the page says so
			case block.info == "console" && path == "../README.md": // TestREADMESession
			case block.info == "bash" && path == docs+"/clients.md": // TestDocsClients
			case slices.Contains([]string{"sh", "bash", "console", "shell"}, what):
				t.Errorf("%s has commands that nothing runs: write sh run sqlite, or sh run postgres\n%s", path, block.text)
			}
		}
		for kind, script := range scripts {
			ran++
			t.Run(strings.TrimSuffix(filepath.Base(path), ".md")+" "+kind, func(t *testing.T) {
				t.Parallel()
				runPage(t, kind, script)
			})
		}
	}
	if ran < 10 {
		t.Errorf("%d pages have commands", ran)
	}
}

func runPage(t *testing.T, kind, script string) {
	examples, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin, backup := filepath.Join(dir, "bin"), filepath.Join(dir, "backup")
	for _, d := range []string{bin, backup} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(systemctl), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.9.%d.%d:0", rand.IntN(256), 1+rand.IntN(254))) // where no other test listens
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()

	pidFile := filepath.Join(dir, "pid")
	env := []string{
		"PATH=" + bin + ":" + examples + ":" + os.Getenv("PATH"), "HOME=" + dir, "ADDR=" + address, "ISSUER=http://" + address,
		"PIDFILE=" + pidFile, "LOG=" + filepath.Join(dir, "log"), "BACKUP=" + backup, "SHUTDOWN_DELAY=0s", "FAILED_ATTEMPTS=0",
	}
	var storage []string
	if kind == "postgres" {
		u, err := url.Parse(database(t))
		if err != nil {
			t.Fatal(err)
		}
		if u.RawQuery == "" {
			u.RawQuery = "sslmode=prefer"
		}
		storage = []string{"DATABASE_URL=" + u.String(), kek}
		env = append(env, "PRIMARY="+u.Host, "STANDBY=127.0.0.1:1", "DB_USER="+u.User.String(), "DB_NAME="+strings.TrimPrefix(u.Path, "/"), "DB_SSLMODE="+u.Query().Get("sslmode"))
	} else {
		storage = []string{"DATA_DIR=" + filepath.Join(dir, "data")}
	}
	env = append(env, storage...)
	shell := func(commands string) ([]byte, error) {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", commands)
		cmd.Env, cmd.Dir = env, dir
		cmd.WaitDelay = time.Second // the issuer keeps the pipe of the shell that started it
		return cmd.CombinedOutput()
	}
	t.Cleanup(func() {
		if out, err := shell("systemctl stop issuer"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	if out, err := shell("systemctl start issuer"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secret := ""
	for _, id := range []string{"stolen", "steady"} {
		words := strings.Fields(clients(t, storage, "add", id, "-scope", "orders:read", "-audience", "http://"+address+"/v1"))
		secret = words[len(words)-1]
	}
	p := &process{url: "http://" + address}
	env = append(env, "TOKEN="+p.token(t, "steady", secret))
	script = strings.ReplaceAll(script, "go run ./example/clients", "clients")
	if out, err := shell(script); err != nil {
		t.Fatalf("%v\n%s\nof\n%s", err, out, script)
	}
	// Commands that revoke tokens refuse those that are granted in the 2 s after them.
	eventually(t, 10*time.Second, "an earlier client gets a token that works", func() bool {
		status, _ := call(t, "GET", p.url+"/readyz", "", "")
		if status != http.StatusOK {
			return false
		}
		status, _ = call(t, "GET", p.url+"/v1/whoami", p.token(t, "steady", secret), "")
		return status == http.StatusOK
	})
}
