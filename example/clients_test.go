//go:build !nosqlite

package main

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestClientsTool manages the clients of a running example.
func TestClientsTool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	env := []string{"DATA_DIR=" + dir}
	p := start(t, "example", "DATA_DIR="+dir, "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456")

	added := clients(t, env, "add", "billing", "-name", "Billing job", "-scope", "orders:read orders:write", "-audience", p.url+"/v1", "-ttl", "5m")
	fields := strings.Fields(added)
	secret := fields[len(fields)-1]
	token := p.token(t, "billing", secret)

	table := clients(t, env, "list")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "ID ") || !strings.Contains(lines[1], "Billing job") || !strings.Contains(lines[2], "myapp123") {
		t.Errorf("list:\n%s", table)
	}
	if found := clients(t, env, "list", "-search", "BILL"); !strings.Contains(found, "billing") || strings.Contains(found, "myapp123") {
		t.Errorf("search:\n%s", found)
	}
	if shown := clients(t, env, "show", "billing"); !strings.Contains(shown, "LAST USED") || !strings.Contains(shown, "5m0s") || strings.Contains(shown, "sha256:") || strings.Contains(shown, secret) {
		t.Errorf("show:\n%s", shown)
	}

	clients(t, env, "revoke", "billing")
	refused := func() bool {
		status, _ := call(t, "GET", p.url+"/v1/whoami", token, "")
		return status == http.StatusUnauthorized
	}
	eventually(t, 2*time.Second, "the revoked token is refused", refused)

	rotated := strings.Fields(clients(t, env, "rotate-secret", "billing", "-overlap", "1h"))
	p.token(t, "billing", secret)
	eventually(t, 2*time.Second, "the new secret works", func() bool {
		status, _ := call(t, "GET", p.url+"/v1/whoami", p.token(t, "billing", rotated[len(rotated)-1]), "")
		return status == http.StatusOK
	})

	// After a theft: what the secrets got is refused, and they get no more.
	stolen := rotated[len(rotated)-1]
	token = p.token(t, "billing", stolen)
	rotated = strings.Fields(clients(t, env, "rotate-secret", "billing", "-revoke"))
	eventually(t, 2*time.Second, "the token of the stolen secret is refused", refused)
	if status, _ := post(t, p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}, "client_secret": {stolen}}); status != http.StatusUnauthorized {
		t.Errorf("the stolen secret is answered %d", status)
	}
	token = p.token(t, "billing", rotated[len(rotated)-1])
	clients(t, env, "revoke", "-all")
	eventually(t, 2*time.Second, "every token is refused", refused)
	clients(t, env, "delete", "billing")
	if table := clients(t, env, "list"); strings.Contains(table, "billing") {
		t.Errorf("list after delete:\n%s", table)
	}

	binary, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	nowhere := exec.Command(filepath.Join(binary, "clients"), "revoke", "-all")
	nowhere.Env = []string{"DATA_DIR=" + filepath.Join(t.TempDir(), "other")}
	if out, err := nowhere.CombinedOutput(); err == nil || !strings.Contains(string(out), "there is no") {
		t.Errorf("where there is no storage: %v, said %s", err, out)
	}
	for says, args := range map[string][]string{
		"clients add ID":        {"help"},
		"no verb":               {"frobnicate"},
		"no such client":        {"show", "nobody"},
		"list takes no id":      {"list", "billing"},
		"the id is taken":       {"add", "myapp123", "-audience", "https://api.example.com"},
		"name an -audience":     {"add", "other"},
		"name one client id":    {"revoke"},
		"or -all; see":          {"revoke", "myapp123", "-all"},
		"leave -overlap out":    {"rotate-secret", "myapp123", "-revoke", "-overlap", "1h"},
		"flag provided but not": {"add", "other", "-colour", "red"},
		"Client.Scopes":         {"add", "other", "-audience", "https://a", "-scope", `a"b`},
	} {
		cmd := exec.Command(filepath.Join(binary, "clients"), args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), says) || (err == nil) != (args[0] == "help") {
			t.Errorf("%v: %v, said %s, want %q", args, err, out, says)
		}
	}
}

// TestAdoptKeys puts right a timetable that a clock wrote that was 40 days ahead.
func TestAdoptKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	env := []string{"DATA_DIR=" + dir, "KEY_ROTATE_EVERY=240h"}
	p := start(t, "example", env...)
	p.stop(t)
	path := filepath.Join(dir, "keys.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ahead := regexp.MustCompile(`"(written|announced|signs)": "([^"]*)"`).ReplaceAllStringFunc(string(content), func(member string) string {
		name, value, _ := strings.Cut(member, ": ")
		moment, err := time.Parse(time.RFC3339, strings.Trim(value, `"`))
		if err != nil {
			t.Fatal(err)
		}
		return name + `: "` + moment.Add(40*24*time.Hour).Format(time.RFC3339Nano) + `"`
	})
	if err := os.WriteFile(path, []byte(ahead), 0o600); err != nil {
		t.Fatal(err)
	}
	said := clients(t, env, "adopt-keys")
	if want := time.Now().Add(10 * 24 * time.Hour).UTC().Format("2006-01-02"); !strings.Contains(said, want) {
		t.Errorf("%s, want %s", said, want)
	}
	start(t, "example", env...)
}
