package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEcho5 takes a token from the running program and calls its API.
func TestEcho5(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	said, ended := make(chan string, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	out := os.Stdout
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = write
	go func() { ended <- run(ctx, listener, filepath.Join(t.TempDir(), "keys.json")) }()
	go func() {
		line := make([]byte, 1<<10)
		n, _ := read.Read(line)
		said <- string(line[:n])
	}()
	line := <-said
	os.Stdout = out
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	first, rest, _ := strings.Cut(line, "\n")
	_, secret, ok := strings.Cut(first, "reporter is ")
	if !ok || !strings.Contains(rest, "Stop with Ctrl-C") || !strings.Contains(rest, "add it to .gitignore") {
		t.Fatalf("it said %q", line)
	}

	answer, err := http.PostForm(base+"/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"reporter"}, "client_secret": {secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	var token struct {
		Value string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&token); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", answer.StatusCode, err)
	}
	answer.Body.Close()

	for name, tt := range map[string]struct {
		method, path, token string
		status              int
		contains            string
	}{
		"good":         {"GET", "/v1/orders", token.Value, 200, "hello reporter"},
		"no token":     {"GET", "/v1/orders", "", 401, ""},
		"bad token":    {"GET", "/v1/orders", token.Value + "x", 401, "invalid_token"},
		"unknown path": {"GET", "/v1/nothing", "", 404, ""},
		"wrong method": {"DELETE", "/v1/orders", "", 405, ""},
		"keys":         {"GET", "/.well-known/jwks.json", "", 200, `"keys"`},
		"metadata":     {"GET", "/.well-known/oauth-authorization-server", "", 200, base + "/token"},
		"token by GET": {"GET", "/token", "", 405, "invalid_request"},
		"ready":        {"GET", "/readyz", "", 200, `{"status":"ok"}`},
		"ready, HEAD":  {"HEAD", "/readyz", "", 200, ""},
	} {
		r, err := http.NewRequest(tt.method, base+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.token != "" {
			r.Header.Set("Authorization", "Bearer "+tt.token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != tt.status || !strings.Contains(string(body), tt.contains) {
			t.Errorf("%s: %d %s, %v, want %d with %q", name, answer.StatusCode, body, err, tt.status, tt.contains)
		}
		if tt.status == 401 && answer.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", name)
		}
	}
}
