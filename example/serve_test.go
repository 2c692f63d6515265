//go:build !nosqlite

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopDrains sends SIGTERM: /readyz fails at once, and the listener stays open
// for SHUTDOWN_DELAY, so that a load balancer that polls /readyz loses no request.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	p := start(t, "example", "SHUTDOWN_DELAY=10s", "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456")
	if status, body := call(t, "GET", p.url+"/readyz", "", ""); status != http.StatusOK || body != `{"status":"ok"}`+"\n" {
		t.Fatalf("readyz: %d %s", status, body)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Second, "readyz fails after SIGTERM", func() bool {
		status, _ := call(t, "GET", p.url+"/readyz", "", "")
		return status == http.StatusServiceUnavailable
	})
	p.token(t, "myapp123", "secret456")
	ended(t, p)
}

// TestStopClosesConnections opens two connections before SIGTERM. During
// SHUTDOWN_DELAY a request on one of them is answered, and the answer closes the
// connection. The idle one stays open, so that no request is lost on it.
func TestStopClosesConnections(t *testing.T) {
	t.Parallel()
	p := start(t, "example", "SHUTDOWN_DELAY=10s")
	type kept struct {
		net.Conn
		in *bufio.Reader
	}
	get := func(c kept) (closes bool) {
		t.Helper()
		if _, err := fmt.Fprint(c, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := read(t, answer); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return answer.Close
	}
	var both [2]kept
	for i := range both {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a socket takes one
		both[i] = kept{conn, bufio.NewReader(conn)}
		if first, second := get(both[i]), get(both[i]); first || second {
			t.Error("a connection is closed before SIGTERM")
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Second, "readyz fails after SIGTERM", func() bool {
		answer, err := http.Get(p.url + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusServiceUnavailable && answer.Close
	})
	for i, c := range both {
		time.Sleep(time.Duration(i) * 500 * time.Millisecond)
		if !get(c) {
			t.Error("the answer does not say that the connection ends")
		}
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection goes on: %v", err)
		}
	}
	ended(t, p)
}

// TestProbesByHEAD sends each program the requests of probes that want no body.
func TestProbesByHEAD(t *testing.T) {
	t.Parallel()
	p := start(t, "example")
	for name, base := range map[string]string{"example": p.url, "issuer": start(t, "issuer").url, "api": start(t, "api", "ISSUER="+p.url).url} {
		for _, path := range []string{"/healthz", "/readyz"} {
			answer, err := http.Head(base + path)
			if err != nil {
				t.Fatal(err)
			}
			if status, body := read(t, answer); status != http.StatusOK || body != "" || answer.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: HEAD %s: %d %q", name, path, status, body)
			}
		}
	}
}

// TestStopWithSlowConnections has 50 connections that send half a request: they
// are cut, the log says so, and the process ends without an error.
func TestStopWithSlowConnections(t *testing.T) {
	t.Parallel()
	p := start(t, "example", "SHUTDOWN_TIMEOUT=1s")
	for range 50 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a socket takes one
		if _, err := fmt.Fprint(conn, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		// The server sends this once the endpoint reads the body. A connection whose request
		// was not read yet would be closed at once and not be busy.
		const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
		answer := make([]byte, len(goOn))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != goOn {
			t.Fatalf("%q, %v", answer, err)
		}
		if _, err := fmt.Fprint(conn, "grant_type="); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, p)
	if !strings.Contains(p.said(), "50 connections were still busy") {
		t.Errorf("the log does not say what was cut:\n%s", p.said())
	}
}

func ended(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatal("the process does not end")
	}
	if err := p.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// TestOrdersBodyLimit sends bodies that are too large, with and without their
// length in the header.
func TestOrdersBodyLimit(t *testing.T) {
	t.Parallel()
	p := start(t, "example", "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456")
	token := p.token(t, "myapp123", "secret456")
	large := `{"quantity":1,"item":"` + strings.Repeat("x", 64<<10) + `"}`
	if status, body := call(t, "POST", p.url+"/v1/orders", token, large); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %.200s, want 413", status, body)
	}
	r, err := http.NewRequest("POST", p.url+"/v1/orders", io.MultiReader(strings.NewReader(large)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := read(t, answer); status != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked: %d %.200s, want 413", status, body)
	}
	if status, _ := call(t, "GET", p.url+"/v1/nothing", "", ""); status != http.StatusNotFound {
		t.Errorf("an unknown path: %d, want 404", status)
	}
}
