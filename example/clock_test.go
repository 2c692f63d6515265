//go:build rehearsal

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// clock is the wall clock of a process: a file with the seconds by which it is
// off. The monotonic clock of the process is right, so a step that stays is a
// machine that slept, and one that is taken back is a wrong setting.
type clock struct {
	*testing.T
	file string
}

func newClock(t *testing.T, off time.Duration) clock {
	c := clock{t, filepath.Join(t.TempDir(), "clock")}
	c.step(off)
	return c
}

func (c clock) env() string { return "CLOCK_FILE=" + c.file }

func (c clock) step(off time.Duration) {
	c.Helper()
	if err := os.WriteFile(c.file+".new", fmt.Append(nil, int64(off/time.Second)), 0o600); err != nil {
		c.Fatal(err)
	}
	if err := os.Rename(c.file+".new", c.file); err != nil {
		c.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
}

// stepped builds the examples with a wall clock that follows CLOCK_FILE. The
// library that fakes time for C programs cannot: Go reads the clock itself. It
// takes a minute or two, as everything is compiled anew.
var stepped = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	file := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	const reads = "\tsec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(source), reads) {
		return "", errors.New("package time reads the clock in another way now")
	}
	const follows = `package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

func init() {
	follow := func() {
		text, _ := os.ReadFile(os.Getenv("CLOCK_FILE"))
		if off, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			time.Offset = off
		}
	}
	follow()
	go func() {
		for ; ; time.Sleep(10 * time.Millisecond) {
			follow()
		}
	}()
}
`
	dir, err := os.MkdirTemp("", "m2m-clock")
	if err != nil {
		return "", err
	}
	scratch = append(scratch, dir)
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, content := range map[string]string{
		file:                                   strings.ReplaceAll(string(source), reads, reads+"\tsec += Offset\n") + "\nvar Offset int64\n",
		filepath.Join(here, "clock_follow.go"): follows,
		filepath.Join(here, "api", "clock_follow.go"): follows,
	} {
		replace[name] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[name], []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", dir+"/", ".", "./api").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
})

// withClock is the path of an example that follows CLOCK_FILE.
func withClock(t *testing.T, name string) string {
	t.Helper()
	dir, err := stepped()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// TestClock has two replicas on PostgreSQL, by real processes. The clock of one is
// 2 h ahead for 70 s, then 40 days ahead for 6 s, then a day behind for 6 s.
//
// Nothing may be destroyed by that: a revoked token stays refused, and secrets
// that have not expired work. The replica whose clock is right goes on throughout.
// The other one says that its clock is wrong. Each starts again, also while its
// clock is wrong.
//
//	POSTGRES_URL=… go test -tags rehearsal -run TestClock -v ./example
func TestClock(t *testing.T) {
	t.Parallel()
	env := []string{
		"DATABASE_URL=" + database(t), kek, "ISSUER=http://127.0.0.1:1", "CLIENT_ID=steady", "CLIENT_SECRET=" + generated(),
		"KEY_ROTATE_EVERY=720h", "KEY_ANNOUNCE=1h", "KEY_MAX_AGE=2s", "TOKEN_TTL=30m",
	}
	right, wrong := newClock(t, 0), newClock(t, 0)
	begin := func(c clock) *process { return startBinary(t, withClock(t, "example"), append(env, c.env())...) }
	c := &clockTest{T: t, env: env, healthy: begin(right), other: begin(wrong)}
	c.prepare()

	for _, step := range []struct {
		off, lasts time.Duration
		restarts   bool // the replica is started again while its clock is wrong
	}{
		{2 * time.Hour, 70 * time.Second, false},
		{40 * 24 * time.Hour, 6 * time.Second, false},
		{40 * 24 * time.Hour, 6 * time.Second, true},
		{-24 * time.Hour, 6 * time.Second, false},
	} {
		t.Run(step.off.String(), func(t *testing.T) {
			c.T = t
			before := c.other.said()
			wrong.step(step.off)
			if step.restarts {
				kill(t, c.other)
				c.other, before = begin(wrong), ""
			}
			for end := time.Now().Add(step.lasts); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
				c.goesOn()
			}
			if status, _ := call(t, "GET", c.other.url+"/readyz", "", ""); status != http.StatusServiceUnavailable {
				t.Errorf("the replica whose clock is wrong answers %d at /readyz", status)
			}
			if said := strings.TrimPrefix(c.other.said(), before); !strings.Contains(said, "clock") {
				t.Errorf("the replica whose clock is wrong does not say so:\n%s", said)
			}
			wrong.step(0)
			c.recovers()
			for _, p := range []**process{&c.healthy, &c.other} {
				of := right
				if p == &c.other {
					of = wrong
				}
				kill(t, *p)
				*p = begin(of)
			}
			c.recovers()
		})
	}
}

// TestClockFiles is a clock that is 40 days ahead for 6 s, where there is no
// database whose clock could be asked.
func TestClockFiles(t *testing.T) {
	t.Parallel()
	env := []string{
		"DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "ISSUER=http://127.0.0.1:1", "CLIENT_ID=steady", "CLIENT_SECRET=" + generated(),
		"KEY_ROTATE_EVERY=720h", "KEY_ANNOUNCE=1h", "KEY_MAX_AGE=2s", "TOKEN_TTL=30m",
	}
	wrong := newClock(t, 0)
	begin := func() *process { return startBinary(t, withClock(t, "example"), append(env, wrong.env())...) }
	c := &clockTest{T: t, env: env, healthy: begin()}
	c.other = c.healthy
	c.prepare()
	wrong.step(40 * 24 * time.Hour)
	time.Sleep(6 * time.Second)
	if said := c.other.said(); !strings.Contains(said, "clock") {
		t.Errorf("nothing is said of the clock:\n%s", said)
	}
	wrong.step(0)
	c.recovers()
	kill(t, c.other)
	c.healthy = begin()
	c.other = c.healthy
	c.recovers()
}

// TestSuspend is an API whose machine sleeps for 2 h. Meanwhile a key is dropped:
// its tokens are refused at the first request after that, and those of the new
// key are let in.
func TestSuspend(t *testing.T) {
	t.Parallel()
	p := start(t, "example", "CLIENT_ID=steady", "CLIENT_SECRET=secret456", "TOKEN_TTL=4h")
	machine := newClock(t, 0)
	api := startBinary(t, withClock(t, "api"), "ISSUER="+p.url, machine.env())
	stolen := p.token(t, "steady", "secret456")
	whoami := func(token string) int {
		status, _ := call(t, "GET", api.url+"/v1/whoami", token, "")
		return status
	}
	if got := whoami(stolen); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	if err := p.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "the key is dropped", func() bool { return strings.Contains(p.said(), "was dropped") })
	machine.step(2 * time.Hour)
	if got := whoami(stolen); got != http.StatusUnauthorized {
		t.Errorf("a token of a key that was dropped 2 h ago is answered %d", got)
	}
	if got := whoami(p.token(t, "steady", "secret456")); got != http.StatusOK {
		t.Errorf("a token of the new key is answered %d", got)
	}
}

// clockTest is two replicas and what must survive.
type clockTest struct {
	*testing.T
	env            []string
	healthy, other *process
	secrets        map[string]string // secrets that expire later than the test ends, by client
	revoked        string
	kids           []string
}

func (c *clockTest) prepare() {
	c.secrets = map[string]string{"steady": clientSecret(c.env)}
	for id, overlap := range map[string]string{"hour": "1h", "month": "700h"} {
		words := strings.Fields(clients(c.T, c.env, "add", id, "-scope", "orders:read", "-audience", "http://127.0.0.1:1/v1"))
		c.secrets[id] = words[len(words)-1]
		clients(c.T, c.env, "rotate-secret", id, "-overlap", overlap)
	}
	c.revoked = c.healthy.token(c.T, "steady", c.secrets["steady"])
	if status, body := post(c.T, c.healthy.url+"/revoke", url.Values{"client_id": {"steady"}, "client_secret": {c.secrets["steady"]}, "token": {c.revoked}}); status != http.StatusOK {
		c.Fatalf("revoke: %d %s", status, body)
	}
	c.kids = (&rehearsal{T: c.T}).set(c.healthy)
	c.recovers()
}

// goesOn asks the healthy replica for everything.
func (c *clockTest) goesOn() {
	c.Helper()
	token := c.healthy.token(c.T, "steady", c.secrets["steady"])
	for _, path := range []string{"/v1/whoami", "/.well-known/jwks.json", "/readyz"} {
		if status, body := call(c.T, "GET", c.healthy.url+path, token, ""); status != http.StatusOK {
			c.Errorf("the replica whose clock is right answers %d at %s: %s", status, path, body)
		}
	}
	c.refuses(c.healthy)
}

func (c *clockTest) refuses(p *process) {
	c.Helper()
	if status, body := call(c.T, "GET", p.url+"/v1/whoami", c.revoked, ""); status != http.StatusUnauthorized {
		c.Errorf("a revoked token is answered %d: %s", status, body)
	}
}

// recovers expects both replicas to be as if nothing had happened.
func (c *clockTest) recovers() {
	c.Helper()
	for _, p := range []*process{c.healthy, c.other} {
		eventually(c.T, 15*time.Second, p.url+" is ready", func() bool {
			status, _ := call(c.T, "GET", p.url+"/readyz", "", "")
			return status == http.StatusOK
		})
		for id, secret := range c.secrets {
			eventually(c.T, 5*time.Second, "a secret of "+id+" works", func() bool {
				status, _ := post(c.T, p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
				return status == http.StatusOK
			})
		}
		c.refuses(p)
		if kids := (&rehearsal{T: c.T}).set(p); slices.ContainsFunc(c.kids, func(kid string) bool { return !slices.Contains(kids, kid) }) {
			c.Errorf("keys are gone: %v, were %v", kids, c.kids)
		}
	}
	token := c.other.token(c.T, "steady", c.secrets["steady"])
	if status, body := call(c.T, "GET", c.healthy.url+"/v1/whoami", token, ""); status != http.StatusOK {
		c.Errorf("a token of the replica whose clock was wrong is answered %d by the other: %s", status, body)
	}
}

// kill ends a process as a crash does.
func kill(t *testing.T, p *process) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
}
