//go:build rehearsal && !nosqlite

package main

import (
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRestore sets the database of two running replicas back to a backup. Since
// the backup a key was dropped as stolen and a token was revoked. Both stay so: at
// the replicas, and at one that starts afterwards. The log says what happened.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"pg_dump", "pg_restore"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s IS NOT INSTALLED: nothing is restored here", tool)
		}
	}
	source, dump := database(t), filepath.Join(t.TempDir(), "dump")
	env := []string{
		"DATABASE_URL=" + source, kek, "ISSUER=http://127.0.0.1:1", "CLIENT_ID=steady", "CLIENT_SECRET=secret456",
		"KEY_ROTATE_EVERY=1h", "KEY_ANNOUNCE=5s", "KEY_RETAIN=1h", "KEY_MAX_AGE=2s",
	}
	const secret = "secret456"
	a, b := start(t, "example", env...), start(t, "example", env...)
	time.Sleep(6 * time.Second) // a second key is announced and may sign

	stolen := a.token(t, "steady", secret)
	if out, err := exec.Command("pg_dump", "--format=custom", "--file="+dump, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := a.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the key is dropped", func() bool { return strings.Contains(a.said(), "was dropped") })
	revoked := a.token(t, "steady", secret)
	if status, body := post(t, a.url+"/revoke", url.Values{"client_id": {"steady"}, "client_secret": {secret}, "token": {revoked}}); status != http.StatusOK {
		t.Fatalf("revoke: %d %s", status, body)
	}
	whoami := func(p *process, token string) int {
		status, _ := call(t, "GET", p.url+"/v1/whoami", token, "")
		return status
	}
	for _, p := range []*process{a, b} {
		eventually(t, 5*time.Second, "before the restore both are refused", func() bool {
			return whoami(p, stolen) == http.StatusUnauthorized && whoami(p, revoked) == http.StatusUnauthorized
		})
	}

	if out, err := exec.Command("pg_restore", "--clean", "--if-exists", "--single-transaction", "--dbname="+source, dump).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, p := range []*process{a, b} {
			if got := whoami(p, stolen); got != http.StatusUnauthorized {
				t.Fatalf("after the restore a token of the dropped key is answered %d", got)
			}
			if got := whoami(p, revoked); got != http.StatusUnauthorized {
				t.Fatalf("after the restore a revoked token is answered %d", got)
			}
			p.token(t, "steady", secret)
		}
	}
	if said := a.said() + b.said(); !strings.Contains(said, "state_older") {
		t.Errorf("nothing is said of the restore:\n%s", said)
	}

	late := start(t, "example", env...)
	eventually(t, 5*time.Second, "a replica that starts afterwards refuses both", func() bool {
		return whoami(late, stolen) == http.StatusUnauthorized && whoami(late, revoked) == http.StatusUnauthorized
	})
	eventually(t, 5*time.Second, "the replicas publish the same keys", func() bool { return slices.Equal(keysOf(t, a), keysOf(t, late)) })
	late.token(t, "steady", secret)
	a.stop(t)
	b.stop(t)
}

// keysOf returns the key set that a process publishes, one line a key.
func keysOf(t *testing.T, p *process) []string {
	t.Helper()
	status, body := call(t, "GET", p.url+"/.well-known/jwks.json", "", "")
	if status != http.StatusOK {
		t.Fatalf("key set: %d %s", status, body)
	}
	return strings.Split(body, "},{")
}
