//go:build !nosqlite

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// failing runs the command line tool and returns its exit status and all it wrote.
func failing(t *testing.T, env []string, args ...string) (status int, out string) {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "clients"), args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	text, _ := cmd.CombinedOutput() // the status says whether it failed
	return cmd.ProcessState.ExitCode(), string(text)
}

// TestClientsToolFields sets every field through the database and through the admin
// API, and shows it through both.
func TestClientsToolFields(t *testing.T) {
	t.Parallel()
	p, database := toolOnSQLite(t)
	words := strings.Fields(clients(t, database, "add", "operator", "-scope", "clients:admin", "-audience", p.url+"/v1"))
	api := []string{"ADMIN_URL=" + p.url + "/admin", "CLIENT_ID=operator", "CLIENT_SECRET=" + words[len(words)-1]}
	show := func(env []string) (shown map[string]any) {
		t.Helper()
		if err := json.Unmarshal([]byte(clients(t, env, "show", "all", "-json")), &shown); err != nil {
			t.Fatal(err)
		}
		delete(shown, "updated_at") // which the admin API does not show
		return shown
	}
	values := map[string][2]any{ // by member: what the flags set
		"client_name": {"-name=Ä job", "Ä job"}, "scope": {"-scope=b a", "b a"}, "audiences": {"-audience=https://a,https://b", []any{"https://a", "https://b"}},
		"default_audience": {"-default-audience=https://b", "https://b"}, "introspects": {"-introspects=*", []any{"*"}}, "disabled": {"-disabled", true},
		"token_endpoint_auth_method": {"-auth-method=client_secret_post", "client_secret_post"}, "token_ttl": {"-ttl=5m", 300.0},
		"metadata": {"-metadata=tenant=acme", map[string]any{"tenant": "acme"}},
		"jwks_uri": {"-jwks-uri=https://a/jwks?a=<b>", "https://a/jwks?a=<b>"}, "tls_client_auth_san_dns": {"-tls-san-dns=a.example", "a.example"},
		"workload":                 {"-workload=https://a repo:b https://c", []any{map[string]any{"issuer": "https://a", "subject": "repo:b", "audience": "https://c"}}},
		"dpop_bound_access_tokens": {"-dpop-bound", true}, "tls_client_certificate_bound_access_tokens": {"-certificate-bound", true},
	}
	for _, way := range [][]string{database, api} {
		clients(t, way, "add", "all", "-audience", "https://a")
		args := []string{"set", "all"}
		for _, v := range values {
			args = append(args, v[0].(string))
		}
		clients(t, way, args...)
		shown := show(way)
		for member, v := range values {
			if !reflect.DeepEqual(shown[member], v[1]) {
				t.Errorf("%s is %v, want %v", member, shown[member], v[1])
			}
		}
		if other := show(api); !reflect.DeepEqual(other, show(database)) {
			t.Errorf("the admin API shows %v, the database %v", other, show(database))
		}
		clients(t, way, "set", "all", "-clear", "name,scope,default-audience,audience,introspects,disabled,auth-method,ttl,metadata,jwks-uri,tls-san-dns,workload,dpop-bound,certificate-bound")
		for member := range values {
			if value, there := show(way)[member]; there {
				t.Errorf("%s is %v after -clear", member, value)
			}
		}
		clients(t, way, "delete", "all")
	}
}

// TestClientsToolStatus holds the exit status of plan, apply, import and stale-secrets.
func TestClientsToolStatus(t *testing.T) {
	t.Parallel()
	p, env := toolOnSQLite(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file, secrets := write("clients.json", `[{"client_id": "new", "audiences": ["`+p.url+`/v1"], "scope": "orders:read"}]`), filepath.Join(dir, "secrets.csv")
	rows := write("clients.csv", "client_id,audiences\nbad id\x01,x\nother,"+p.url+"/v1\n")
	for _, step := range []struct {
		status int
		says   string
		args   []string
	}{
		{2, "+ new", []string{"plan", file}},
		{1, "-secrets FILE", []string{"apply", file}},
		{0, "1 added", []string{"apply", file, "-secrets", secrets}},
		{0, "1 unchanged", []string{"plan", file}},
		{0, "0 added, 0 changed, 0 deleted, 1 unchanged", []string{"apply", file, "-secrets", secrets}},
		{1, "clients.csv:2: ", []string{"import", rows, "-secrets", secrets}},
		{1, "0 added, 1 unchanged, 1 bad", []string{"import", rows, "-secrets", secrets}},
		{2, "imported", []string{"stale-secrets"}}, // that of CLIENT_SECRET
		{1, "no such file", []string{"import", filepath.Join(dir, "nothing.csv")}},
	} {
		if status, out := failing(t, env, step.args...); status != step.status || !strings.Contains(out, step.says) {
			t.Errorf("%q: status %d, said %s, want %d: %s", step.args, status, out, step.status, step.says)
		}
	}
	token := strings.TrimSpace(clients(t, append(env, "ISSUER="+p.url), "token", "new", "-secrets", secrets))
	if status, body := call(t, "GET", p.url+"/v1/whoami", token, ""); status != 200 || !strings.Contains(body, `"new"`) {
		t.Errorf("with the token of clients token: %d %s", status, body)
	}
}
