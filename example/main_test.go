//go:build !nosqlite

package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNamedClients(t *testing.T) {
	t.Parallel()
	hard := "p&s=w: r%d+\"\\~" // any VSCHAR
	p := start(t, "example", "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456", "CLIENT2_ID=a:b c", "CLIENT2_SECRET="+hard)
	both, reader := p.token(t, "myapp123", "secret456"), p.token(t, "a:b c", hard)
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		contains                        string
	}{
		{"read", "GET", "/v1/orders", both, "", 200, "eggs"},
		{"write", "POST", "/v1/orders", both, `{"item":"milk","quantity":1}`, 201, `"placed_by":"myapp123"`},
		{"bad order", "POST", "/v1/orders", both, `{"item":""}`, 400, "quantity"},
		{"who am I", "GET", "/v1/whoami", both, "", 200, `"scopes":["orders:read","orders:write"]`},
		{"second client reads", "GET", "/v1/orders", reader, "", 200, "eggs"},
		{"second client may not write", "POST", "/v1/orders", reader, `{"item":"milk","quantity":1}`, 403, ""},
		{"no token", "GET", "/v1/orders", "", "", 401, ""},
		{"no such path", "GET", "/v1/nothing", "", "", 404, ""},
		{"wrong method", "DELETE", "/v1/orders", "", "", 405, ""},
		{"health is open", "GET", "/healthz", "", "", 200, "ok"},
	} {
		status, body := call(t, c.method, p.url+c.path, c.token, c.body)
		if status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s: %d %s, want %d with %q", c.name, status, body, c.status, c.contains)
		}
	}
	p.stop(t)
	if strings.Contains(p.said(), "secret456") {
		t.Error("a secret was printed that its owner knows already")
	}
}

//nolint:tparallel // its cases share a process
func TestAPIAlone(t *testing.T) {
	t.Parallel()
	p := start(t, "example", "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456")
	token := p.token(t, "myapp123", "secret456")
	for name, env := range map[string][]string{
		"by metadata": {"ISSUER=" + p.url},
		"by JWKS_URL": {"ISSUER=" + p.url, "JWKS_URL=" + p.url + "/.well-known/jwks.json"},
	} {
		t.Run(name, func(t *testing.T) {
			api := start(t, "api", env...)
			if status, body := call(t, "GET", api.url+"/readyz", "", ""); status != http.StatusOK || body != `{"status":"ok"}`+"\n" {
				t.Errorf("readyz: %d %s", status, body)
			}
			if status, body := call(t, "GET", api.url+"/v1/orders", token, ""); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
			if status, _ := call(t, "GET", api.url+"/v1/orders", "", ""); status != http.StatusUnauthorized {
				t.Errorf("without a token: %d", status)
			}
			api.stop(t)
		})
	}
	t.Run("issuer away", func(t *testing.T) {
		api := start(t, "api", "ISSUER="+p.url, "JWKS_URL=http://127.0.0.1:1/jwks.json")
		if status, body := call(t, "GET", api.url+"/v1/orders", token, ""); status != http.StatusServiceUnavailable {
			t.Errorf("%d %s, want 503: it is not the token's fault", status, body)
		}
		if status, body := call(t, "GET", api.url+"/readyz", "", ""); status != http.StatusServiceUnavailable || body != `{"status":"unavailable"}`+"\n" {
			t.Errorf("readyz: %d %s: causes name hosts, and belong into the log", status, body)
		}
		eventually(t, 2*time.Second, "the log says why", func() bool { return strings.Contains(api.said(), "connection refused") })
	})
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	const database = "DATABASE_URL=postgres://m2m@127.0.0.1:1/m2m"
	for _, c := range []struct{ name, env, says string }{
		{"example", database, "openssl rand -hex 32"},
		{"issuer", database, "openssl rand -hex 32"},
		{"example", database + "\nKEY_ENCRYPTION_KEY=abc", "64 hex digits"},
		{"example", "SHUTDOWN_DELAY=never", "SHUTDOWN_DELAY"},
		{"example", "TOKEN_TTL=soon", "TOKEN_TTL"},
		{"example", kek, "KEY_ENCRYPTION_KEY is set, and DATABASE_URL is not"},
		{"issuer", "ISSUER_NAME=two", "ISSUER_NAME is set, and DATABASE_URL is not"},
		{"issuer", "NO_MIGRATE=1", "clients migrate"},
		{"example", "KEY_ANNOUNCE=1s", "Announce"},
		{"example", "KEY_ALGORITHM=HS256", "Algorithm"},
		{"example", "CLIENT_ID=only-half", "CLIENT_SECRET"},
		{"example", "ISSUER=http://auth.example.com", "https"},
		{"api", "JWKS_COOLDOWN=-1s", "JWKS_COOLDOWN"},
		{"example", "TLS_CERT=server.pem", "TLS_ADDR is not"},
		{"issuer", "TLS_ADDR=127.0.0.1:0\nTLS_CERT=server.pem", "TLS_KEY"},
		{"api", "TLS_ADDR=127.0.0.1:0\nTLS_CERT=server.pem\nTLS_KEY=server.key", "no such file"},
		{"api", "TLS_ADDR=8443\nTLS_CERT=server.pem\nTLS_KEY=server.key", "127.0.0.1:8443"},
		{"example", "TLS_CLIENT_CA=ca.pem", "TRUSTED_PROXY"},
		{"issuer", "TRUSTED_PROXY=127.0.0.1\nTLS_CLIENT_CA=/dev/null", "no certificate"},
		{"example", "TRUSTED_PROXY=ten", "TRUSTED_PROXY"},
		{"example", "DPOP_NONCES=maybe", "required, optional or off"},
		{"api", "DPOP_NONCE_SECRET=abc", "64 hex digits"},
		{"api", "API_URL=api.example.com", "BaseURL"},
		{"caller", "CLIENT_ID=myapp123", "CLIENT_SECRET is not set"},
		{"caller", "CLIENT_ID=myapp123\nCLIENT_SECRET=secret456\nISSUER=http://auth.example.com", "ISSUER="},
	} {
		cmd := exec.Command(filepath.Join(dir, c.name))
		cmd.Env, cmd.Dir = append(strings.Split(c.env, "\n"), "ADDR=127.0.0.1:0"), t.TempDir()
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: error %v, said %s, want it to name %s", c.env, err, out, c.says)
		}
		if strings.Contains(string(out), "listening on") {
			t.Errorf("%s: it said that it listens: %s", c.env, out)
		}
	}
}
