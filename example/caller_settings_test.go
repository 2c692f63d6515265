//go:build !nosqlite

package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCallerSettings gives each setting of example/caller good, empty and wrong values.
func TestCallerSettings(t *testing.T) {
	t.Parallel()
	secret, dir := generated(), t.TempDir()
	issuer := start(t, "example", "CLIENT_ID=worker", "CLIENT_SECRET="+secret)
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := map[string]string{"ISSUER": issuer.url, "CLIENT_ID": "worker", "CLIENT_SECRET": secret, "EVERY": "50ms", "FOR": "1m"}
	for _, c := range []struct {
		set  string // lines of settings, besides the good ones
		says string
		ends string // how: "ok", "failed" calls, a first call that is "cut", or "" if it does not begin
	}{
		{"", "is answered 200", "ok"},
		{"ISSUER=" + issuer.url + "/", "metadata of issuer", "cut"}, // another issuer by RFC 8414
		{"ISSUER=http://127.0.0.1:1", "connection refused", "cut"},
		{"ISSUER=auth.example.com", `ISSUER="auth.example.com": write a URL`, ""},
		{"ISSUER=http://auth.example.com", `ISSUER="http://auth.example.com": write https, or http on the loopback`, ""},
		{"ISSUER=https://auth.example.com/?a=b", "has a query", ""},
		{"ISSUER=https://me:hidden@auth.example.com", "ISSUER has a user", ""},
		{"API=" + issuer.url + "/v1/orders", "/v1/orders is answered 200", "ok"},
		{"API=", issuer.url + "/v1/whoami is answered 200", "ok"},
		{"API=/v1/orders", `API="/v1/orders": write a URL`, ""},
		{"API=http://api.example.com/", `API="http://api.example.com/": write https, or http on the loopback: this program sends no token over http elsewhere`, ""},
		{"API=" + issuer.url + "/nothing", "404", "failed"},
		{"CLIENT_ID=", "CLIENT_ID is not set", ""},
		{"CLIENT_ID=another", "invalid_client", "failed"},
		{"CLIENT_SECRET=", "CLIENT_SECRET is not set", ""},
		{"CLIENT_SECRET=wrong", "invalid_client", "failed"},
		{"CLIENT_SECRET_FILE=" + file("secret", secret+"\n"), "both set", ""},
		{"CLIENT_SECRET=\nCLIENT_SECRET_FILE=" + file("secret", secret+"\n"), "is answered 200", "ok"},
		{"CLIENT_SECRET=\nCLIENT_SECRET_FILE=" + file("wrong", "wrong"), "invalid_client", "failed"},
		{"CLIENT_SECRET=\nCLIENT_SECRET_FILE=" + file("empty", ""), "CLIENT_SECRET_FILE: ", ""},
		{"CLIENT_SECRET=\nCLIENT_SECRET_FILE=" + dir, "CLIENT_SECRET_FILE: ", ""},
		{"CLIENT_SECRET=\nCLIENT_SECRET_FILE=" + dir + "/missing", "CLIENT_SECRET_FILE: ", ""},
		{"SCOPE=orders:read", "is answered 200", "ok"},
		{"SCOPE= \nRESOURCE=", "is answered 200", "ok"},
		{"SCOPE=orders:burn", "invalid_scope", "failed"},
		{`SCOPE=orders"read`, "is not one scope", ""},
		{"RESOURCE=" + issuer.url + "/v1", "is answered 200", "ok"},
		{"RESOURCE=https://other.example.com", "invalid_target", "failed"},
		{"RESOURCE=orders", `RESOURCE="orders": write an absolute URI`, ""},
		{"EVERY=", "every 1s, with", "ok"},
		{"EVERY=0", `EVERY="0"`, ""},
		{"EVERY=5", `EVERY="5"`, ""},
		{"FOR=0s", `FOR="0s"`, ""},
		{"FOR=-1s", `FOR="-1s"`, ""},
		{"FOR=soon", `FOR="soon"`, ""},
	} {
		t.Run(strings.NewReplacer(secret, "secret", issuer.url, "issuer", dir, "dir", "\n", " ").Replace(c.set), func(t *testing.T) {
			t.Parallel()
			env := maps.Clone(good)
			for line := range strings.Lines(c.set) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				env[name] = value
			}
			var lines []string
			for name, value := range env {
				lines = append(lines, name+"="+value)
			}
			p := startCaller(t, lines...)
			switch c.ends {
			case "":
				<-p.done // after FOR at the latest
				if status := p.ProcessState.ExitCode(); status != 1 || strings.Contains(p.said(), "calling") {
					t.Errorf("exit status %d:\n%s", status, p.said())
				}
			case "ok":
				p.says(t, "is answered 200")
				if got, status := p.interrupted(t); got.ok == 0 || got.ok != got.calls || status != 0 {
					t.Errorf("%+v, exit status %d", got, status)
				}
			case "failed":
				p.says(t, "FAILED")
				if got, status := p.interrupted(t); got.failed == 0 || got.failed != got.calls || status != 1 {
					t.Errorf("%+v, exit status %d", got, status)
				}
			case "cut":
				p.says(t, c.says)
				if got, status := p.interrupted(t); got != (called{calls: 1, failed: 1}) || status != 1 {
					t.Errorf("%+v, exit status %d", got, status)
				}
			}
			if !strings.Contains(p.said(), c.says) || strings.Contains(p.said(), "hidden") {
				t.Errorf("it does not say %q, or it shows a password:\n%s", c.says, p.said())
			}
		})
	}
}

// interrupted is ended, by Ctrl-C.
func (p *process) interrupted(t *testing.T) (called, int) {
	t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	return p.ended(t)
}
