//go:build !nosqlite

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// calling is example/caller beside example, which is its issuer and its API.
type calling struct {
	issuer, caller *process
	env            []string // of the issuer
	secretFile     string
}

func startCalling(t *testing.T, ttl string) *calling {
	t.Helper()
	dir, secret := t.TempDir(), generated()
	c := &calling{secretFile: filepath.Join(dir, "secret")}
	c.env = []string{"DATA_DIR=" + filepath.Join(dir, "data"), "CLIENT_ID=worker", "CLIENT_SECRET=" + secret, "TOKEN_TTL=" + ttl}
	c.issuer = start(t, "example", c.env...)
	c.writeSecret(t, secret)
	c.caller = startCaller(t, "ISSUER="+c.issuer.url, "CLIENT_ID=worker", "CLIENT_SECRET_FILE="+c.secretFile, "SCOPE=orders:read", "RESOURCE="+c.issuer.url+"/v1",
		"API="+c.issuer.url+"/v1/orders", "EVERY=20ms")
	c.caller.says(t, "is answered 200")
	return c
}

// writeSecret replaces the file in one step, as mounted secrets are replaced.
func (c *calling) writeSecret(t *testing.T, secret string) {
	t.Helper()
	if err := os.WriteFile(c.secretFile+".new", []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.secretFile+".new", c.secretFile); err != nil {
		t.Fatal(err)
	}
}

func startCaller(t *testing.T, env ...string) *process {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatalf("building the examples: %v\n%s", err, dir)
	}
	p := &process{Cmd: exec.Command(filepath.Join(dir, "caller")), done: make(chan struct{})}
	p.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.Stdout, p.Stderr = p, p
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.Wait() // ended says how it ended
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("the caller said:\n%s", p.said())
		}
	})
	return p
}

// called is the last line of example/caller.
type called struct{ calls, ok, failed, tokenRequests, replays int }

// ended waits for the end of a caller, and returns its counts and its exit status.
func (p *process) ended(t *testing.T) (called, int) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the caller does not end")
	}
	lines := strings.Split(strings.TrimSpace(p.said()), "\n")
	last := lines[len(lines)-1]
	members := map[string]int{}
	if err := json.Unmarshal([]byte(last), &members); err != nil {
		t.Fatalf("%v: the last line is %q", err, last)
	}
	for _, name := range []string{"calls", "ok", "failed", "token_requests", "replays"} {
		if _, ok := members[name]; !ok || len(members) != 5 {
			t.Errorf("the last line has no %s, or other members too: %s", name, last)
		}
	}
	return called{members["calls"], members["ok"], members["failed"], members["token_requests"], members["replays"]}, p.ProcessState.ExitCode()
}

// TestCaller has the issuer restart, rotate its keys, revoke tokens and rotate a secret
// while example/caller calls every 20 ms. No call fails.
func TestCaller(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, c *calling) {
		t.Helper()
		c.caller.says(t, "the API refused the token")
	}
	for name, tt := range map[string]struct {
		ttl     string
		happens func(t *testing.T, c *calling)
		tokens  int // token requests, at least
		replays bool
	}{
		"nothing": {"1m", func(*testing.T, *calling) {}, 1, false},
		"restart": {"1m", func(t *testing.T, c *calling) {
			t.Helper()
			c.issuer.stop(t)
			c.caller.says(t, "no answer yet")
			c.issuer = start(t, "example", append(c.env, "ADDR="+strings.TrimPrefix(c.issuer.url, "http://"))...)
			c.caller.saysTimes(t, "is answered 200", 2)
		}, 1, false},
		"key rotation": {"1m", func(t *testing.T, c *calling) {
			t.Helper()
			if err := c.issuer.Process.Signal(syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			refused(t, c)
		}, 2, true},
		"revoked token": {"1m", func(t *testing.T, c *calling) {
			t.Helper()
			clients(t, c.env, "revoke", "worker")
			refused(t, c)
		}, 2, true},
		"rotated secret": {"3s", func(t *testing.T, c *calling) {
			t.Helper()
			before, err := os.ReadFile(c.secretFile)
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(clients(t, c.env, "rotate-secret", "worker", "-overlap", "2s"))
			c.writeSecret(t, words[len(words)-1])
			eventually(t, 5*time.Second, "the old secret is refused", func() bool {
				return !c.issuer.grants(t, "worker", strings.TrimSpace(string(before)))
			})
			c.caller.saysTimes(t, "got a token", strings.Count(c.caller.said(), "got a token")+2)
		}, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCalling(t, tt.ttl)
			tt.happens(t, c)
			time.Sleep(100 * time.Millisecond) // a few calls more
			got, status := c.caller.interrupted(t)
			if got.failed != 0 || got.ok != got.calls || got.calls < 2 || status != 0 {
				t.Errorf("%+v, exit status %d", got, status)
			}
			if got.tokenRequests < tt.tokens || got.tokenRequests > tt.tokens+10 || (got.replays > 0) != tt.replays {
				t.Errorf("%+v, want %d token requests or a few more, and replays: %v", got, tt.tokens, tt.replays)
			}
			if strings.Contains(c.caller.said(), "m2m_") || strings.Contains(c.caller.said(), "eyJ") {
				t.Error("it prints a secret or a token")
			}
		})
	}
}

// saysTimes waits until the process has printed the text n times.
func (p *process) saysTimes(t *testing.T, text string, n int) {
	t.Helper()
	eventually(t, 30*time.Second, "the process says again: "+text, func() bool { return strings.Count(p.said(), text) >= n })
}

// A caller with a wrong secret fails, and does not try it at every call.
func TestCallerFails(t *testing.T) {
	t.Parallel()
	issuer := start(t, "example", "CLIENT_ID=worker", "CLIENT_SECRET="+generated())
	p := startCaller(t, "ISSUER="+issuer.url, "CLIENT_ID=worker", "CLIENT_SECRET="+generated(), "EVERY=20ms", "FOR=5s")
	got, status := p.ended(t)
	if got.ok != 0 || got.failed != got.calls || got.calls < 2 || got.tokenRequests != 1 || status != 1 {
		t.Errorf("%+v, exit status %d\n%s", got, status, p.said())
	}
	if !strings.Contains(p.said(), "invalid_client") {
		t.Errorf("it does not say why:\n%s", p.said())
	}
}

// A call that is under way at the end is cut short and does not count, whatever it waits
// for. The issuer, which is the API too, is away or hangs.
func TestCallerEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outage syscall.Signal
		end    syscall.Signal // 0 for FOR
	}{
		"Ctrl-C, all is away": {syscall.SIGKILL, syscall.SIGINT},
		"Ctrl-C, all hangs":   {syscall.SIGSTOP, syscall.SIGINT},
		"SIGTERM, all hangs":  {syscall.SIGSTOP, syscall.SIGTERM},
		"FOR, all hangs":      {syscall.SIGSTOP, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret := generated()
			issuer := start(t, "example", "CLIENT_ID=worker", "CLIENT_SECRET="+secret)
			env := []string{"ISSUER=" + issuer.url, "CLIENT_ID=worker", "CLIENT_SECRET=" + secret, "EVERY=20ms"}
			if tt.end == 0 {
				env = append(env, "FOR=5s")
			}
			p := startCaller(t, env...)
			p.says(t, "is answered 200")
			if err := issuer.Process.Signal(tt.outage); err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.outage == syscall.SIGKILL:
				p.says(t, "no answer yet")
			case tt.end != 0:
				time.Sleep(200 * time.Millisecond) // a call has begun, most likely
			}
			if tt.end != 0 {
				if err := p.Process.Signal(tt.end); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			got, status := p.ended(t)
			if got.failed != 0 || got.ok != got.calls || got.calls < 1 || got.tokenRequests != 1 || status != 0 {
				t.Errorf("%+v, exit status %d\n%s", got, status, p.said())
			}
			// Without an end of its own, a request takes 10 s to fail, and a call a minute.
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it ended after %v", took)
			}
		})
	}
}

// An issuer that never answers got no token request, and the run has failed.
func TestCallerWithoutIssuer(t *testing.T) {
	t.Parallel()
	p := startCaller(t, "ISSUER=http://127.0.0.1:1", "CLIENT_ID=worker", "CLIENT_SECRET=secret", "FOR=1s")
	got, status := p.ended(t)
	if got != (called{calls: 1, failed: 1}) || status != 1 {
		t.Errorf("%+v, exit status %d", got, status)
	}
	for _, text := range []string{"connection refused", "FAILED: no call succeeded before the end"} {
		if !strings.Contains(p.said(), text) {
			t.Errorf("it does not say %q:\n%s", text, p.said())
		}
	}
}
