//go:build !nosqlite

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDemoSession pastes what the first start prints into a shell, and checks each
// answer. Then it does what the second start says.
func TestDemoSession(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is needed to paste the session: %v", tool, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, "example", "DATA_DIR="+dir)
	p.says(t, "add "+dir+"/ to .gitignore")
	p.says(t, "Stop with Ctrl-C")
	_, session, _ := strings.Cut(p.said(), "terminal:\n")
	session, _, _ = strings.Cut(session, "\nThe data is in "+dir)
	out, err := exec.Command("sh", "-ec", session).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := string(out)
	for _, want := range []string{
		"a dozen eggs", `"client_id":"demo"`, `"scopes":["orders:read"]`,
		`Www-Authenticate: Bearer realm="api"`, `scope="orders:write"`, `error="invalid_token"`,
		`"client_id":"demo-admin"`,
	} {
		at := strings.Index(answers, want)
		if at < 0 {
			t.Fatalf("the session did not show %q, or not in this order:\n%s", want, out)
		}
		answers = answers[at:]
	}
	statuses := regexp.MustCompile(`HTTP/1.1 (\d+)`).FindAllString(string(out), -1)
	if want := []string{"HTTP/1.1 401", "HTTP/1.1 403", "HTTP/1.1 200", "HTTP/1.1 401"}; !slices.Equal(statuses, want) {
		t.Errorf("%q, want %q", statuses, want)
	}
	for path, want := range map[string]os.FileMode{"": 0o700, "keys.json": 0o600, "issuer.db": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != want {
			t.Errorf("%s: %v, want %v", path, info.Mode().Perm(), want)
		}
	}

	secret := variable(t, session, "SECRET")
	token := p.token(t, "demo", secret)
	p.stop(t)
	again := start(t, "example", "DATA_DIR="+dir, "ADDR="+strings.TrimPrefix(p.url, "http://"))
	again.token(t, "demo", secret)
	if status, body := call(t, "GET", again.url+"/v1/whoami", token, ""); status != http.StatusOK {
		t.Errorf("a token from before the restart: %d %s", status, body)
	}
	rotates(t, again, dir, "./example/clients")
	again.stop(t)
	if strings.Contains(again.said(), secret) {
		t.Error("the secret was printed a second time")
	}
}

// rotates runs the commands that a second start prints, and gets tokens with the
// secrets that they print.
func rotates(t *testing.T, p *process, dir, tool string) {
	t.Helper()
	p.says(t, "Stop with Ctrl-C")
	for _, id := range []string{"demo", "demo-admin"} {
		if !regexp.MustCompile(`(?m)^  go run ` + tool + ` rotate-secret ` + id + `( |$)`).MatchString(p.said()) {
			t.Fatalf("the second start does not say how to get a secret of %s:\n%s", id, p.said())
		}
		words := strings.Fields(clients(t, []string{"DATA_DIR=" + dir}, "rotate-secret", id))
		secret := words[slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "m2m_") })]
		eventually(t, 10*time.Second, "the issuer knows the new secret", func() bool { return p.grants(t, id, secret) })
	}
}

// variable returns what a session sets a variable of the shell to.
func variable(t *testing.T, session, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^ *` + name + `=(\S+)$`).FindStringSubmatch(session)
	if found == nil {
		t.Fatalf("the session sets no %s:\n%s", name, session)
	}
	return found[1]
}

// TestIssuerAlone uses the secrets that the issuer alone prints, and does what its
// second start says.
func TestIssuerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, "issuer", "DATA_DIR="+dir)
	p.says(t, "add "+dir+"/ to .gitignore")
	secrets := regexp.MustCompile(`shown this once: (m2m_\S+)`).FindAllStringSubmatch(p.said(), -1)
	if len(secrets) != 2 {
		t.Fatalf("it does not show two secrets:\n%s", p.said())
	}
	p.token(t, "demo", secrets[0][1])
	if status, body := call(t, "GET", p.url+"/admin/clients", p.token(t, "demo-admin", secrets[1][1]), ""); status != http.StatusOK || !strings.Contains(body, `"client_id":"demo"`) {
		t.Errorf("the admin API: %d %s", status, body)
	}
	long := `{"client_id":"long","client_name":"` + strings.Repeat("x", 1025) + `"}` // more than a database takes
	if status, body := call(t, "POST", p.url+"/admin/clients", p.token(t, "demo-admin", secrets[1][1]), long); status != http.StatusBadRequest {
		t.Errorf("a long name: %d %s", status, body)
	}
	p.stop(t)
	rotates(t, start(t, "issuer", "DATA_DIR="+dir), dir, "./example/clients")
}
