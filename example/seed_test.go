//go:build !nosqlite

package main

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestClientsFile starts the example with a file of clients, and again with
// another, on the same data.
func TestClientsFile(t *testing.T) {
	t.Parallel()
	data, file := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "clients.json")
	write := func(records string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(records), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status := func(p *process, id, secret string) int {
		status, _ := post(t, p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
		return status
	}
	hard := `p&s=w: r%d+\"\\~` // as JSON
	write(`[
		{"client_id": "a:b c", "client_secret": "` + hard + `", "scope": "orders:read"},
		{"client_id": "writer", "client_secret": "first", "scope": "orders:write", "token_ttl": 60, "metadata": {"tenant": "x"}},
		{"client_id": "off", "client_secret": "x", "disabled": true}
	]`)
	p := start(t, "example", "DATA_DIR="+data, "CLIENTS="+file, "CLIENT_ID=named", "CLIENT_SECRET=secret456")
	token := p.token(t, "a:b c", `p&s=w: r%d+"\~`)
	if status, body := call(t, "GET", p.url+"/v1/orders", token, ""); status != http.StatusOK {
		t.Errorf("orders: %d %s", status, body)
	}
	if status, _ := call(t, "POST", p.url+"/v1/orders", token, `{"item":"milk","quantity":1}`); status != http.StatusForbidden {
		t.Errorf("a scope that the file does not give: %d", status)
	}
	p.token(t, "named", "secret456")
	if got := status(p, "off", "x"); got != http.StatusUnauthorized {
		t.Errorf("a disabled client: %d", got)
	}
	if strings.Contains(p.said(), "demo") {
		t.Error("demo was made beside clients that are named")
	}
	p.stop(t)

	clients(t, []string{"DATA_DIR=" + data}, "disable", "a:b c")
	write(`[
		{"client_id": "a:b c", "client_secret": "` + hard + `", "scope": "orders:read"},
		{"client_id": "writer", "client_secret": "second", "scope": "orders:read"}
	]`)
	p = start(t, "example", "DATA_DIR="+data, "CLIENTS="+file)
	if got := status(p, "writer", "first"); got != http.StatusUnauthorized {
		t.Errorf("the secret of the file before: %d", got)
	}
	if _, body := call(t, "GET", p.url+"/v1/whoami", p.token(t, "writer", "second"), ""); !strings.Contains(body, `"scopes":["orders:read"]`) {
		t.Errorf("the scopes are not those of the file: %s", body)
	}
	if got := status(p, "a:b c", `p&s=w: r%d+"\~`); got != http.StatusUnauthorized {
		t.Errorf("a restart enabled a client that an operator had disabled: %d", got)
	}
	p.stop(t)

	binary, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ records, says string }{
		"not JSON":      {`[{]`, "CLIENTS"},
		"no array":      {`{"client_id":"a"}`, "array"},
		"unknown":       {`[{"client_id":"a","client_secret":"x","colour":"red"}]`, "colour"},
		"twice":         {`[{"client_id":"a","client_secret":"x"},{"client_id":"a","client_secret":"x"}]`, `"a"`},
		"bad secret":    {`[{"client_id":"a","client_secret":"\u0000"}]`, "client_secret"},
		"bad scope":     {`[{"client_id":"a","client_secret":"x","scope":"a  b"}]`, "scope"},
		"named as well": {`[{"client_id":"named","client_secret":"x"}]`, "named"},
	} {
		write(tt.records)
		cmd := exec.Command(filepath.Join(binary, "example"))
		cmd.Env = []string{"ADDR=127.0.0.1:0", "DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "CLIENTS=" + file, "CLIENT_ID=named", "CLIENT_SECRET=x"}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), tt.says) || !strings.Contains(string(out), "CLIENTS") {
			t.Errorf("%s: %v, said %s, want %q", name, err, out, tt.says)
		}
	}
}
