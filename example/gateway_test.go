//go:build !nosqlite

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startGateway starts example/gateway with an issuer of its own, and returns a token of demo
// and one of demo-admin.
func startGateway(t *testing.T, env ...string) (p *process, token, admin string) {
	t.Helper()
	p = start(t, "gateway", env...)
	p.says(t, "Stop with Ctrl-C")
	secret := func(name string) string {
		found := regexp.MustCompile(`(?m)^  ` + name + `=(\S+)$`).FindStringSubmatch(p.said())
		if found == nil {
			t.Fatalf("no %s is printed", name)
		}
		return found[1]
	}
	return p, p.token(t, "demo", secret("SECRET")), p.token(t, "demo-admin", secret("ADMIN_SECRET"))
}

// policyFile writes a policy in one step, and returns its path.
func policyFile(t *testing.T, path, rules string) string {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(`{"rules": [`+rules+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// heard is what the example's own upstreams answer.
type heard struct {
	Service, Method, Path string
	ClientID              string `json:"x_client_id"`
	Scopes                string `json:"x_client_scopes"`
	Issuer                string `json:"x_token_issuer"`
	Authorization         string
}

// TestGateway holds the gateway without any settings: what reaches the upstreams, and what
// is refused.
func TestGateway(t *testing.T) {
	t.Parallel()
	p, token, admin := startGateway(t)
	for _, says := range []string{"policy: 8 rules", "GET /orders/*    orders:read", "gateway, process "} {
		if !strings.Contains(p.said(), says) {
			t.Errorf("it does not say %q", says)
		}
	}
	const scopes = "orders:read orders:write invoices:read"
	for _, tt := range []struct{ method, path, service string }{
		{"GET", "/orders", "orders"},
		{"GET", "/orders/", "orders"},
		{"GET", "/orders/1/lines?page=2", "orders"},
		{"POST", "/orders", "orders"},
		{"DELETE", "/orders/1", "orders"},
		{"GET", "/orders/caf%C3%A9", "orders"},
		{"GET", "/invoices/1", "invoices"},
	} {
		status, body := call(t, tt.method, p.url+tt.path, token, "")
		var got heard
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
			t.Errorf("%s %s: %d %s %v", tt.method, tt.path, status, body, err)
			continue
		}
		path, _, _ := strings.Cut(tt.path, "?")
		if want := (heard{tt.service, tt.method, path, "demo", scopes, p.url, ""}); got != want {
			t.Errorf("%s %s: the upstream got %+v, want %+v", tt.method, tt.path, got, want)
		}
	}
	for _, tt := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/orders/1", "", http.StatusUnauthorized},
		{"GET", "/orders", "", http.StatusUnauthorized},
		{"GET", "/orders/1", token + "x", http.StatusUnauthorized},
		{"POST", "/invoices/1", token, http.StatusForbidden},
		{"GET", "/orders/1", admin, http.StatusForbidden},
		{"GET", "/orders/1%2F2", token, http.StatusBadRequest},
		{"GET", "/orders//1", token, http.StatusBadRequest},
		{"GET", "/orders/../policy", token, http.StatusBadRequest},
		{"GET", "/nothing", token, http.StatusNotFound},
		{"GET", "/policy", "", http.StatusUnauthorized},
		{"GET", "/policy", token, http.StatusForbidden},
		{"GET", "/policy", admin, http.StatusOK},
		{"GET", "/shadow", "", http.StatusUnauthorized},
		{"GET", "/shadow", token, http.StatusForbidden},
		{"GET", "/shadow", admin, http.StatusOK},
		{"GET", "/readyz", "", http.StatusOK},
		{"GET", "/healthz", "", http.StatusOK},
	} {
		if status, body := call(t, tt.method, p.url+tt.path, tt.token, ""); status != tt.want {
			t.Errorf("%s %s: %d %s, want %d", tt.method, tt.path, status, body, tt.want)
		}
	}
	if _, body := call(t, "GET", p.url+"/policy", admin, ""); !strings.Contains(body, `"/orders/*"`) || !json.Valid([]byte(body)) {
		t.Errorf("/policy: %s", body)
	}
	p.stop(t)
}

// TestGatewayUpstream sends what a proxy could lose to an upstream of the test: headers that
// lie about the caller, a prefix of the upstream, streams and a switch of protocols.
func TestGatewayUpstream(t *testing.T) {
	t.Parallel()
	received := make(chan *http.Request, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") == "websocket":
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_ = rw.Flush()
			line, _ := rw.ReadString('\n')
			fmt.Fprint(rw, r.Header.Get("X-Client-Id"), " says ", line)
			_ = rw.Flush()
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: first\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // the client has read the first event and left
		case strings.HasSuffix(r.URL.Path, "/both"):
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				return
			}
			for lines := bufio.NewReader(r.Body); ; {
				line, err := lines.ReadString('\n')
				fmt.Fprint(w, line)
				_ = http.NewResponseController(w).Flush()
				if err != nil {
					return
				}
			}
		default:
			received <- r
		}
	}))
	t.Cleanup(func() {
		upstream.CloseClientConnections()
		upstream.Close()
	})
	p, token, _ := startGateway(t, "UPSTREAM_ORDERS="+upstream.URL+"/base")

	ask := func(path string, header http.Header) *http.Response {
		t.Helper()
		r, err := http.NewRequest("GET", p.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	_ = ask("/orders/1?page=2", http.Header{"X-Client-Id": {"admin"}, "X_client_scopes": {"all"}, "Connection": {"close, X-Token-Issuer"}, "X-Other": {"stays"}}) //nolint:bodyclose // ask does
	r := <-received
	if r.URL.String() != "/base/orders/1?page=2" {
		t.Errorf("the upstream got %s", r.URL)
	}
	for name, want := range map[string]string{"X-Client-Id": "demo", "X-Token-Issuer": p.url, "X-Other": "stays", "Authorization": "", "X_client_scopes": ""} {
		if got := strings.Join(r.Header[name], ","); got != want {
			t.Errorf("%s: the upstream got %q, want %q", name, got, want)
		}
	}

	events := ask("/orders/events", http.Header{})
	if line, err := bufio.NewReader(events.Body).ReadString('\n'); err != nil || line != "data: first\n" {
		t.Errorf("the stream has %q, %v", line, err)
	}
	events.Body.Close()

	// An answer that begins before the body of the request has ended.
	body, half := io.Pipe()
	defer half.Close()
	both, err := http.NewRequest("POST", p.url+"/orders/both", body)
	if err != nil {
		t.Fatal(err)
	}
	both.Header.Set("Authorization", "Bearer "+token)
	go fmt.Fprint(half, "first half\n")
	answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(both)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	for _, want := range []string{"first half\n", "second half\n"} {
		if line, err := lines.ReadString('\n'); err != nil || line != want {
			t.Errorf("the answer has %q, %v, want %q", line, err, want)
		}
		go func() {
			fmt.Fprint(half, "second half\n")
			half.Close()
		}()
	}

	socket := ask("/orders/socket", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}) //nolint:bodyclose // ask does
	conn, ok := socket.Body.(io.ReadWriteCloser)
	if !ok || socket.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the switch is answered %d", socket.StatusCode)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "demo says hello\n" {
		t.Errorf("the socket has %q, %v", line, err)
	}
}

// TestGatewayPolicy reads a policy from a file. What it does not allow is refused.
func TestGatewayPolicy(t *testing.T) {
	t.Parallel()
	file := policyFile(t, filepath.Join(t.TempDir(), "policy.json"), `
		{"route": "/orders/*", "methods": ["GET"], "scopes": ["orders:read"]},
		{"route": "/order/*", "any_token": true}`)
	p, token, _ := startGateway(t, "POLICY="+file)
	for _, says := range []string{"rule for /order/* never decides", "/orders has no rule", "/invoices/* has no rule"} {
		if !strings.Contains(p.said(), says) {
			t.Errorf("it does not say %q", says)
		}
	}
	for path, want := range map[string]int{"GET /orders/1": 200, "HEAD /orders/1": 200, "POST /orders/1": 403, "GET /orders": 403, "GET /invoices/1": 403, "GET /order/1": 404} {
		method, path, _ := strings.Cut(path, " ")
		if status, body := call(t, method, p.url+path, token, ""); status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, status, body, want)
		}
	}
}

// TestGatewayShadow reports what the policy of SHADOW would refuse, and refuses nothing.
func TestGatewayShadow(t *testing.T) {
	t.Parallel()
	file := policyFile(t, filepath.Join(t.TempDir(), "shadow.json"), `{"route": "/orders/*", "scopes": ["orders:admin"]}`)
	p, token, admin := startGateway(t, "SHADOW="+file)
	if !strings.Contains(p.said(), "shadow policy") {
		t.Error("the shadow is not printed")
	}
	for range 3 {
		if status, body := call(t, "GET", p.url+"/orders/1", token, ""); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
	}
	_, body := call(t, "GET", p.url+"/shadow", admin, "")
	var report struct {
		WouldRefuse []struct {
			Rule, Reason string
			Changed      int
			Clients      []struct {
				ClientID string `json:"client_id"`
				Requests int
			}
		} `json:"would_refuse"`
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil || len(report.WouldRefuse) != 1 {
		t.Fatalf("%v\n%s", err, body)
	}
	got := report.WouldRefuse[0]
	if got.Rule != "* /orders/*" || got.Reason != "insufficient_scope" || got.Changed != 3 || len(got.Clients) != 1 || got.Clients[0].ClientID != "demo" || got.Clients[0].Requests != 3 {
		t.Errorf("the report is %s", body)
	}
}
