//go:build !nosqlite

package main

import (
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// page is a whole program of a page, running in a directory of its own.
type page struct {
	process
	program string
}

// startPage builds the first Go block of a page and starts it in dir.
func startPage(t *testing.T, path, dir string) *page {
	t.Helper()
	if _, err := writePages(); err != nil {
		t.Fatal(err)
	}
	m, err := thePages()
	if err != nil {
		t.Fatal(err)
	}
	name := folder(path, 0)
	if out, err := m.goTool("build", "-ldflags=-s -w", "-o", "bin/"+name, "./"+name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := &page{program: filepath.Join(m.dir, "bin", name)}
	p.url = "http://" + m.addresses[path]
	p.Cmd = exec.Command(p.program)
	p.Dir = dir
	p.Stdout, p.Stderr = &p.process, &p.process
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(t) })
	eventually(t, 20*time.Second, name+" answers", func() bool {
		answer, err := http.Get(p.url + "/.well-known/jwks.json")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return p
}

// Write keeps what a program says.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(text)
}

// kill ends the program, which the pages do with Ctrl-C.
func (p *page) kill(t *testing.T) {
	t.Helper()
	if p.ProcessState != nil {
		return
	}
	if err := p.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.Wait()
	if t.Failed() {
		t.Logf("%s said:\n%s", p.program, p.said())
	}
}

// secret returns the secret that the program has logged.
func (p *page) secret(t *testing.T) string {
	t.Helper()
	_, secret, ok := strings.Cut(p.said(), "the secret of reporter is ")
	if !ok {
		t.Fatalf("%s logged no secret:\n%s", p.program, p.said())
	}
	secret, _, _ = strings.Cut(secret, "\n")
	return secret
}

// TestDocsApps starts each whole program of README and lasting-store.md twice. Keys, and
// so tokens, last in all of them. The client and its secret last with SQLite alone.
func TestDocsApps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		page  string
		lasts bool
	}{{"../README.md", false}, {readmeWithSQLite, true}, {docs + "/lasting-store.md", true}} {
		t.Run(filepath.Base(tt.page), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			first := startPage(t, tt.page, dir)
			secret := first.secret(t)
			token := first.token(t, "reporter", secret)
			if status, body := call(t, http.MethodGet, first.url+"/v1/orders", token, ""); status != http.StatusOK || body != "hello reporter\n" {
				t.Errorf("%d %s", status, body)
			}
			first.kill(t)

			second := startPage(t, tt.page, dir)
			if status, _ := call(t, http.MethodGet, second.url+"/v1/orders", token, ""); status != http.StatusOK {
				t.Errorf("after a restart the token is answered %d", status)
			}
			want := http.StatusUnauthorized
			if tt.lasts {
				want = http.StatusOK
			}
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"reporter"}, "client_secret": {secret}}
			if status, body := post(t, second.url+"/token", form); status != want {
				t.Errorf("after a restart the secret is answered %d %s, want %d", status, body, want)
			}
			if again := strings.Contains(second.said(), "the secret of reporter is m2m_"); again == tt.lasts {
				t.Errorf("the second start said:\n%s", second.said())
			}
		})
	}
}

// TestDocsShutdown stops the program of containers-and-mounts.md. It answers /readyz with
// 503 and still serves, and then it ends without an error.
func TestDocsShutdown(t *testing.T) {
	t.Parallel()
	p := startPage(t, docs+"/containers-and-mounts.md", t.TempDir())
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, _ := call(t, http.MethodGet, p.url+path, "", ""); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, 4*time.Second, "/readyz is 503", func() bool {
		status, _ := call(t, http.MethodGet, p.url+"/readyz", "", "")
		return status == http.StatusServiceUnavailable
	})
	if status, _ := call(t, http.MethodGet, p.url+"/.well-known/jwks.json", "", ""); status != http.StatusOK {
		t.Errorf("the key set: %d", status)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, p.said())
	}
}
