//go:build !nosqlite

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	allRules    = `{"route": "/orders/*", "any_token": true}, {"route": "/invoices/*", "any_token": true}`
	ordersRules = `{"route": "/orders/*", "scopes": ["orders:read"]}`
)

// TestGatewaySwap exchanges the policy under load. No request is dropped, and a file that is
// broken changes nothing.
func TestGatewaySwap(t *testing.T) {
	t.Parallel()
	file := policyFile(t, filepath.Join(t.TempDir(), "policy.json"), allRules)
	p, token, _ := startGateway(t, "POLICY="+file)

	stop := make(chan struct{})
	var load sync.WaitGroup
	var calls atomic.Int64
	for i := range 4 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		load.Go(func() {
			for !closed(stop) {
				r, err := http.NewRequest("GET", p.url+"/orders/1", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+token)
				answer, err := client.Do(r)
				if err != nil {
					t.Errorf("a request was dropped: %v", err)
					return
				}
				answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					t.Errorf("a good request is answered %d", answer.StatusCode)
				}
				calls.Add(1)
			}
		})
	}
	const swapped, kept = "SIGHUP: the policy was swapped", "SIGHUP: the old policy stays in force: POLICY: "
	want := http.StatusOK // of a request for an invoice
	for round, step := range []struct {
		rules, says string
		want        int
	}{
		{ordersRules, swapped, http.StatusForbidden}, {`{"route": "/orders/*"}`, kept, 0}, {allRules, swapped, http.StatusOK}, {`{`, kept, 0},
		{ordersRules, swapped, http.StatusForbidden}, {allRules, swapped, http.StatusOK},
	} {
		before, handled := calls.Load(), strings.Count(p.said(), step.says)
		policyFile(t, file, step.rules)
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, step.says, func() bool { return strings.Count(p.said(), step.says) > handled })
		if step.want != 0 {
			want = step.want
		}
		if status, body := call(t, "GET", p.url+"/invoices/1", token, ""); status != want {
			t.Errorf("round %d: %d %s, want %d", round, status, body, want)
		}
		eventually(t, 10*time.Second, "requests go on", func() bool { return calls.Load() > before+20 || t.Failed() })
	}
	close(stop)
	load.Wait()
}

// TestGatewayWithoutIssuer starts the gateway before its issuer. It is not ready, answers 503
// and not 401, and recovers by itself.
func TestGatewayWithoutIssuer(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"ISSUER", "JWKS_URL"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			address := unusedAddress(t)
			env := []string{"ISSUER=http://" + address}
			if setting == "JWKS_URL" {
				env = append(env, "JWKS_URL=http://"+address+"/.well-known/jwks.json")
			}
			p := start(t, "gateway", env...)

			// A token of the issuer, which then is away.
			data := "DATA_DIR=" + t.TempDir()
			settings := []string{"ADDR=" + address, data, "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456"}
			iss := start(t, "issuer", settings...)
			token := iss.token(t, "myapp123", "secret456")
			iss.stop(t)

			if status, body := call(t, "GET", p.url+"/readyz", "", ""); status != http.StatusServiceUnavailable {
				t.Errorf("/readyz: %d %s", status, body)
			}
			if status, body := call(t, "GET", p.url+"/orders/1", token, ""); status != http.StatusServiceUnavailable {
				t.Errorf("without keys: %d %s", status, body)
			}
			if status, _ := call(t, "GET", p.url+"/healthz", "", ""); status != http.StatusOK {
				t.Errorf("/healthz: %d", status)
			}
			start(t, "issuer", settings...)
			eventually(t, 30*time.Second, "the gateway is ready", func() bool {
				status, _ := call(t, "GET", p.url+"/readyz", "", "")
				return status == http.StatusOK
			})
			if status, body := call(t, "GET", p.url+"/orders/1", token, ""); status != http.StatusOK {
				t.Errorf("with keys: %d %s", status, body)
			}
			if strings.Contains(p.said(), "SECRET=") {
				t.Error("it has an issuer of its own")
			}
		})
	}
}

// unusedAddress returns an address of the loopback where nothing listens.
func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

// TestGatewayUpstreamDown stops an upstream. It is answered 502 without its address, the
// other one goes on, and the first recovers.
func TestGatewayUpstreamDown(t *testing.T) {
	t.Parallel()
	address := unusedAddress(t)
	p, token, _ := startGateway(t, "UPSTREAM_ORDERS=http://"+address)
	serve := func() *http.Server {
		t.Helper()
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") })}
		go s.Serve(listener)
		t.Cleanup(func() { s.Close() })
		return s
	}
	for range 2 {
		if status, body := call(t, "GET", p.url+"/orders/1", token, ""); status != http.StatusBadGateway || strings.Contains(body, address) {
			t.Errorf("down: %d %s", status, body)
		}
		if status, body := call(t, "POST", p.url+"/orders", token, strings.Repeat("x", 8<<10)); status != http.StatusBadGateway {
			t.Errorf("down, with a body: %d %s", status, body)
		}
		if status, body := call(t, "GET", p.url+"/orders/1", "", ""); status != http.StatusUnauthorized {
			t.Errorf("down, without a token: %d %s", status, body)
		}
		for _, path := range []string{"/invoices/1", "/readyz"} {
			if status, body := call(t, "GET", p.url+path, token, ""); status != http.StatusOK {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		s := serve()
		for range 3 {
			if status, body := call(t, "GET", p.url+"/orders/1", token, ""); status != http.StatusOK || body != "here" {
				t.Errorf("up: %d %s", status, body)
			}
		}
		s.Close()
	}
	p.says(t, address) // for the operator
	if strings.Contains(p.said(), "panic") {
		t.Error("the gateway panicked")
	}
}

// TestGatewaySettings wants an error that names each setting which is wrong.
func TestGatewaySettings(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "none.json")
	shadowRule := policyFile(t, filepath.Join(t.TempDir(), "policy.json"), allRules+`, {"route": "/orders/*", "scopes": ["x"], "shadow": true}`)
	for _, tt := range []struct {
		env  []string
		says string
	}{
		{[]string{"UPSTREAM_ORDERS=nowhere"}, "UPSTREAM_ORDERS"},
		{[]string{"UPSTREAM_INVOICES=http://127.0.0.1:9000/?x=1"}, "UPSTREAM_INVOICES"},
		{[]string{"ISSUER=auth.example.com"}, "ISSUER"},
		{[]string{"JWKS_URL=http://127.0.0.1:9000/jwks.json"}, "JWKS_URL"},
		{[]string{"POLICY=" + missing}, "POLICY"},
		{[]string{"SHADOW=" + missing}, "SHADOW"},
		{[]string{"POLICY=" + shadowRule, "SHADOW=" + shadowRule}, "hadow"},
	} {
		t.Run(tt.says, func(t *testing.T) {
			t.Parallel()
			dir, err := binaries()
			if err != nil {
				t.Fatalf("%v\n%s", err, dir)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			program := exec.CommandContext(ctx, filepath.Join(dir, "gateway"))
			program.Env = append([]string{"ADDR=127.0.0.1:0"}, tt.env...)
			if out, err := program.CombinedOutput(); err == nil || ctx.Err() != nil || !strings.Contains(string(out), tt.says) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
