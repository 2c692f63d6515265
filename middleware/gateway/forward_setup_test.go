package gateway

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const (
	callerIssuer   = "https://auth.example.com"
	callerAudience = "https://gateway.example.com"
)

// callers is an issuer of tokens for the gateway, and the guard that trusts it.
type callers struct {
	keys *jwks.Keyring
	auth *bearer.Bearer
}

func newCallers(tb testing.TB) *callers {
	tb.Helper()
	c := &callers{keys: newTestKeys(tb)}
	auth, err := bearer.New(bearer.Config{Issuer: callerIssuer, Audience: callerAudience, Keys: c.keys})
	if err != nil {
		tb.Fatal(err)
	}
	c.auth = auth
	return c
}

func newTestKeys(tb testing.TB) *jwks.Keyring {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// token returns a good token of app1, with changes to its claims; nil removes one.
func (c *callers) token(tb testing.TB, changes map[string]any) string {
	tb.Helper()
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": callerIssuer, "aud": callerAudience, "sub": "app1", "client_id": "app1", "jti": "id-1",
		"iat": now, "exp": now + 600, "scope": "orders:read orders:write",
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := c.keys.Sign(tb.Context(), "at+jwt", payload)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func newTestForwarder(tb testing.TB, c ForwardConfig) *Forwarder {
	tb.Helper()
	f, err := NewForwarder(c)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// both are the protocols that every server here speaks, without TLS.
func both() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// serve starts a server that speaks HTTP/1.1 and HTTP/2.
func serve(tb testing.TB, h http.Handler) *httptest.Server {
	tb.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = both()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	tb.Cleanup(s.Close)
	return s
}

// faces are the ways to put a Forwarder in front of a proxy.
var faces = []string{"Echo Proxy", "ReverseProxy with Rewrite", "ReverseProxy with Director"}

// newFront returns a gateway with one of the faces, in front of one upstream.
func newFront(tb testing.TB, face string, c *callers, f *Forwarder, upstream string, transport http.RoundTripper) http.Handler {
	tb.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		tb.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	switch face {
	case "Echo Proxy":
		e := echo.New()
		e.Logger.SetOutput(io.Discard)
		proxy := echomiddleware.ProxyWithConfig(echomiddleware.ProxyConfig{
			Balancer: echomiddleware.NewRoundRobinBalancer([]*echomiddleware.ProxyTarget{{URL: target}}), Transport: transport,
		})
		e.Group("", c.auth.Require(), f.Echo(), proxy)
		return e
	case "ReverseProxy with Rewrite":
		proxy := &httputil.ReverseProxy{Transport: transport, ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		}}
		return c.auth.Handler(f.Handler(proxy))
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.ErrorLog = transport, quiet
	return c.auth.Handler(f.Handler(proxy))
}

// rawUpstream is an HTTP/1.1 server that keeps each request as it came.
type rawUpstream struct {
	listener net.Listener
	mu       sync.Mutex
	seen     [][]byte
}

func newRawUpstream(tb testing.TB) *rawUpstream {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	u := &rawUpstream{listener: listener}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { u.serve(conn) })
		}
	})
	tb.Cleanup(func() { _ = listener.Close(); work.Wait() })
	return u
}

func (u *rawUpstream) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var raw bytes.Buffer
	r := bufio.NewReader(io.TeeReader(conn, &raw))
	request, err := http.ReadRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, request.Body)
	}
	if err != nil {
		return
	}
	u.mu.Lock()
	u.seen = append(u.seen, bytes.Clone(raw.Bytes()))
	u.mu.Unlock()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

func (u *rawUpstream) url() string { return "http://" + u.listener.Addr().String() }

// take returns the requests since the last take.
func (u *rawUpstream) take() [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}

// fieldLines returns the header and trailer lines of a raw request, by folded name.
func fieldLines(raw []byte) map[string][]string {
	lines := map[string][]string{}
	head, rest, _ := strings.Cut(string(raw), "\r\n\r\n")
	fields := strings.Split(head, "\r\n")[1:]
	if strings.Contains(head, "Transfer-Encoding: chunked") {
		_, trailer, _ := strings.Cut("\r\n"+rest, "\r\n0\r\n")
		fields = append(fields, strings.Split(trailer, "\r\n")...)
	}
	for _, line := range fields {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		folded := foldedName(name)
		lines[folded] = append(lines[folded], name+":"+value)
	}
	return lines
}

func foldedName(name string) string {
	folded := []byte(name)
	for i := range folded {
		folded[i] = fold(folded[i])
	}
	return string(folded)
}

// exchange sends raw bytes to a server and returns the status codes of all answers until it
// closes.
func exchange(tb testing.TB, address, request string) (codes []int, bodies []string) {
	tb.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		tb.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return codes, bodies
		}
		body, _ := io.ReadAll(answer.Body)
		codes, bodies = append(codes, answer.StatusCode), append(bodies, string(body))
		if answer.Close {
			return codes, bodies
		}
	}
}

func bearerLine(token string) string { return fmt.Sprintf("Authorization: Bearer %s\r\n", token) }

// decodePayload returns the claims of a token, unverified.
func decodePayload(token string) ([]byte, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is no token", token)
	}
	return base64.RawURLEncoding.DecodeString(parts[1])
}
