//go:build !nosqlite

package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// runDoctor runs a program with -doctor, and returns what it prints and its status.
func runDoctor(t *testing.T, name string, env ...string) (string, int) {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, name), "-doctor")
	cmd.Env, cmd.Dir = append([]string{"PATH=" + os.Getenv("PATH")}, env...), t.TempDir()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if errs.Len() > 0 {
		t.Errorf("%s -doctor logs:\n%s", name, &errs)
	}
	if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("%s -doctor left %v in its directory, %v", name, left, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func examined(t *testing.T, name string, status int, says string, env ...string) {
	t.Helper()
	if out, got := runDoctor(t, name, env...); got != status || !strings.Contains(out, says) {
		t.Errorf("%s -doctor: status %d, want %d and %q:\n%s", name, got, status, says, out)
	}
}

// TestDoctorWithoutSecrets examines programs whose clients have other credentials, and TLS
// settings: it listens nowhere.
func TestDoctorWithoutSecrets(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	env := append(c.tls(t), "CLIENTS="+c.clients, "DATA_DIR="+filepath.Join(c.dir, "data"))
	p := start(t, "example", env...)
	taken := append(slices.Clone(env), "ADDR="+strings.TrimPrefix(p.url, "http://"), "TLS_ADDR="+strings.TrimPrefix(p.secure(t), "https://"))
	examined(t, "example", 0, "wrong: 0, not checked: 0, notes: 2", taken...) // two scopes that no client has
	examined(t, "api", 0, "wrong: 0, not checked: 0, notes: 0", append(taken, "ISSUER="+p.url)...)
	examined(t, "example", 2, "TLS_CERT", append(taken, "TLS_CERT=none.pem")...)
}

// TestDoctor examines each program while it runs, and after its data was spoilt.
func TestDoctor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, "example", "DATA_DIR="+dir, "CLIENT_ID=a", "CLIENT_SECRET=b", "CLIENT2_ID=c", "CLIENT2_SECRET=d")
	env := []string{"DATA_DIR=" + dir, "ADDR=" + strings.TrimPrefix(p.url, "http://")}
	examined(t, "example", 0, "SQLite answers", env...)
	if said := p.said(); strings.Count(said, "WARN") != 1 || !strings.Contains(said, "reason=malformed_request status=405") {
		t.Errorf("doctor.md promises one warning of the token endpoint in the log of the issuer, which has:\n%s", said)
	}
	examined(t, "api", 0, "4 routes want a token", "ISSUER="+p.url)
	examined(t, "api", 1, "names the issuer", "ISSUER="+p.url+"/")
	examined(t, "example", 2, "TOKEN_TTL", "TOKEN_TTL=soon")
	examined(t, "example", 1, "no such file", "ADDR="+strings.TrimPrefix(p.url, "http://"))
	p.stop(t)

	before := contents(t, dir)
	examined(t, "example", 1, "Start the issuer", env...)
	if after := contents(t, dir); after != before {
		t.Errorf("the doctor changed the data:\n%s\nbefore:\n%s", after, before)
	}
	onSQLite(t, filepath.Join(dir, "issuer.db"), "UPDATE m2m_schema SET version = -version WHERE version = (SELECT MAX(version) FROM m2m_schema)")
	before = contents(t, dir)
	examined(t, "example", 1, "the schema is missing or older", env...)
	if after := contents(t, dir); after != before {
		t.Errorf("the doctor changed an older database:\n%s\nbefore:\n%s", after, before)
	}
	if err := os.Remove(filepath.Join(dir, "keys.json")); err != nil {
		t.Fatal(err)
	}
	onSQLite(t, filepath.Join(dir, "issuer.db"), "UPDATE m2m_schema SET version = -version WHERE version < 0")
	examined(t, "example", 1, "were the keys lost", env...)
}

// TestDoctorIssuer examines the issuer alone, through a proxy that passes on its path
// only.
func TestDoctorIssuer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	all, pathOnly := newProxy(t, ""), newProxy(t, "/auth/")
	for _, c := range []struct {
		proxy  *proxy
		status int
		says   string
	}{
		{all, 0, "and at"},
		{pathOnly, 1, "/auth/.well-known/oauth-authorization-server alone"},
	} {
		env := []string{"DATA_DIR=" + dir, "ISSUER=" + c.proxy.url + "/auth"}
		p := start(t, "issuer", env...)
		c.proxy.send(t, p.url)
		examined(t, "issuer", c.status, c.says, env...)
		p.stop(t)
	}
}

// TestDoctorPostgres examines an issuer on PostgreSQL, whose keys are sealed.
func TestDoctorPostgres(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + database(t), kek}
	p := start(t, "issuer", env...)
	env = append(env, "ISSUER="+p.url)
	examined(t, "issuer", 0, "PostgreSQL answers", env...)
	other := strings.Repeat("cd", 32)
	examined(t, "issuer", 0, "signs", "DATABASE_URL="+strings.TrimPrefix(env[0], "DATABASE_URL="), "KEY_ENCRYPTION_KEY="+other+","+strings.Repeat("ab", 32), "ISSUER="+p.url)
	p.token(t, "demo", variableSecret(t, p)) // nothing was sealed again: the one key still opens them
	examined(t, "issuer", 1, "The signing keys cannot be read", env[0], "KEY_ENCRYPTION_KEY="+other, env[2])
	examined(t, "issuer", 1, "the schema is missing or older", append(env, "ISSUER_NAME=another")...)
}

func variableSecret(t *testing.T, p *process) string {
	t.Helper()
	_, secret, ok := strings.Cut(p.said(), "shown this once: ")
	if !ok {
		t.Fatalf("no secret is shown:\n%s", p.said())
	}
	secret, _, _ = strings.Cut(secret, "\n")
	return secret
}

// contents is the whole of a directory, but for what SQLite keeps beside an open
// database.
func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(entry.Name() + ":\n" + string(text) + "\n")
	}
	return all.String()
}

// proxy sends requests for paths with a prefix on to a process.
type proxy struct {
	url, prefix string
	to          atomic.Pointer[url.URL]
}

func newProxy(t *testing.T, prefix string) *proxy {
	t.Helper()
	p := &proxy{prefix: prefix}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := p.to.Load()
		if to == nil || !strings.HasPrefix(r.URL.Path, p.prefix) {
			http.NotFound(w, r)
			return
		}
		httputil.NewSingleHostReverseProxy(to).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *proxy) send(t *testing.T, to string) {
	t.Helper()
	parsed, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p.to.Store(parsed)
}

// onSQLite runs a statement on a database that no process has open.
func onSQLite(t *testing.T, path, statement string) {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(dir, "sqlite"), path, statement).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
