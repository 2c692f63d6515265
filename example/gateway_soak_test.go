//go:build rehearsal

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestGatewaySoak is 90 s of example/gateway, by real processes. Half of the requests are
// hostile. One of its two upstreams is stopped for 1 s in every 4, and breaks and holds
// answers while it runs. The policies are swapped about once a second, every third time by a file
// that is broken. The issuer's keys rotate every 6 s.
//
// No good request may be refused, and no hostile one let in. An upstream that is away is
// 502. A stream goes on all the time. The gateway must not leak goroutines, memory or
// descriptors.
//
//	go test -tags rehearsal -run TestGatewaySoak -v ./example
func TestGatewaySoak(t *testing.T) {
	const duration = 90 * time.Second
	s := newGatewaySoak(t)
	started := s.resources()
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { s.renew(stop) })
	work.Go(func() { s.swap(stop) })
	work.Go(func() { s.fail(stop) })
	work.Go(func() { s.stream(stop) })
	for n := range 6 {
		work.Go(func() { s.good(n, stop) })
		work.Go(func() { s.hostile(n, stop) })
	}
	time.Sleep(duration)
	close(stop)
	work.Wait()
	s.report()

	s.steady.Close()
	s.flaky.Store(nil)
	s.client.CloseIdleConnections()
	s.verifyReport()
	s.client.CloseIdleConnections()
	s.settled(started)
}

const (
	pace     = 15 * time.Millisecond // between the requests of each sender
	tokenTTL = 10 * time.Second
	leeway   = 30 * time.Second // that of the guard
)

type gatewaySoak struct {
	*testing.T
	gateway, issuer *process
	policy, shadow  string // files
	secrets         map[string]string
	client          *http.Client
	flakyAddress    string
	steady          *http.Server
	flaky           atomic.Pointer[http.Server]

	mu         sync.Mutex
	tokens     map[string]string // by client
	first      string            // a token that is never renewed
	firstUntil time.Time
	away       time.Time // until then the flaky upstream counts as away
	keys       map[string]bool

	accepted, badGateway, refused, lies     atomic.Int64
	attacks, leftOpen, admitted, unanswered atomic.Int64
	swaps, broken, outages, ticks           atomic.Int64
}

func newGatewaySoak(t *testing.T) *gatewaySoak {
	dir := t.TempDir()
	s := &gatewaySoak{
		T: t, policy: filepath.Join(dir, "policy.json"), shadow: filepath.Join(dir, "shadow.json"), tokens: map[string]string{}, keys: map[string]bool{},
		secrets: map[string]string{}, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 20}},
	}
	var records []map[string]any
	for id, scope := range map[string]string{"good": "orders:read orders:write invoices:read", "reader": "orders:read", "operator": "gateway:read"} {
		s.secrets[id] = generated()
		records = append(records, map[string]any{"client_id": id, "client_secret": s.secrets[id], "scope": scope})
	}
	doc, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "clients.json"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
	s.issuer = start(t, "issuer", "CLIENTS="+filepath.Join(dir, "clients.json"), "MAX_GRANT_RATE=0",
		"KEY_ROTATE_EVERY=6s", "KEY_ANNOUNCE=4s", "KEY_RETAIN=14s", "KEY_MAX_AGE=2s", "TOKEN_TTL="+tokenTTL.String())

	steady, err := net.Listen("tcp", loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	s.steady = &http.Server{Handler: http.HandlerFunc(s.upstream)}
	go s.steady.Serve(steady)
	s.flakyAddress = unusedAddress(t)
	s.startFlaky()
	t.Cleanup(func() {
		s.steady.Close()
		if flaky := s.flaky.Load(); flaky != nil {
			flaky.Close()
		}
	})
	s.write(0)
	s.gateway = s.startGateway("http://" + steady.Addr().String())
	for id := range s.secrets {
		s.tokens[id] = s.issuer.token(t, id, s.secrets[id])
	}
	s.first, s.firstUntil = s.tokens["good"], time.Now().Add(tokenTTL+leeway)
	return s
}

func (s *gatewaySoak) startGateway(steady string) *process {
	return start(s.T, "gateway", "ISSUER="+s.issuer.url, "UPSTREAM_ORDERS=http://"+s.flakyAddress, "UPSTREAM_INVOICES="+steady,
		"POLICY="+s.policy, "SHADOW="+s.shadow, "JWKS_COOLDOWN=1s", "GODEBUG=gctrace=1", "GOTRACEBACK=all")
}

// write writes the policies of a round. Each lets all good requests in. Those of every third
// round are broken.
func (s *gatewaySoak) write(round int) {
	rules := []string{
		`{"route": "/orders/*", "methods": ["GET"], "scopes": ["orders:read"]}, {"route": "/orders/*", "scopes": ["orders:write"]},
		{"route": "/invoices/*", "methods": ["GET"], "scopes": ["invoices:read"]}`,
		`{"route": "/orders/*", "methods": ["POST"], "scopes": ["orders:write"], "limit": {"rate": 100000, "concurrent": 10000}},
		{"route": "/orders/*", "any_scopes": ["orders:read", "orders:admin"], "claims": [{"name": "client_id", "is": "good"}]},
		{"route": "/invoices/*", "scopes": ["invoices:read"]}`,
		`{"route": "/orders/*"`,
	}[round%3]
	policyFile(s.T, s.policy, rules)
	policyFile(s.T, s.shadow, fmt.Sprintf(`{"route": "/invoices/*", "scopes": ["round:%d"]}`, round))
}

// swap swaps the policies, and waits each time until the gateway says so.
func (s *gatewaySoak) swap(stop <-chan struct{}) {
	for round := 1; !closed(stop); round++ {
		says, count := "SIGHUP: the policy was swapped", &s.swaps
		if round%3 == 2 {
			says, count = "SIGHUP: the old policy stays in force", &s.broken
		}
		before := strings.Count(s.gateway.said(), says)
		s.write(round)
		if err := s.gateway.Process.Signal(syscall.SIGHUP); err != nil {
			s.Error(err)
			return
		}
		eventually(s.T, 10*time.Second, says, func() bool { return strings.Count(s.gateway.said(), says) > before })
		count.Add(1)
		time.Sleep(500 * time.Millisecond)
	}
}

// renew gets new tokens every 2 s. They live for 9.5 s or more.
func (s *gatewaySoak) renew(stop <-chan struct{}) {
	for !closed(stop) {
		time.Sleep(2 * time.Second)
		for id, secret := range s.secrets {
			token := s.issuer.token(s.T, id, secret)
			s.mu.Lock()
			s.tokens[id], s.keys[keyID(token)] = token, true
			s.mu.Unlock()
		}
	}
}

func (s *gatewaySoak) token(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[id]
}

// expiredToken returns a token that has expired, or none if there is none yet.
func (s *gatewaySoak) expiredToken() string {
	if time.Now().Before(s.firstUntil) {
		return "none-yet"
	}
	return s.first
}

// upstream answers who called, as it was told, unless the path wants a fault.
func (s *gatewaySoak) upstream(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("X-Client-Id"); got != r.URL.Query().Get("as") || r.Header.Get("Authorization") != "" || len(r.Header["X_client_id"]) > 0 {
		s.lies.Add(1)
		s.Errorf("%s: the upstream is told %q, with the headers %v", r.URL, got, r.Header)
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/500"):
		w.WriteHeader(http.StatusInternalServerError)
	case strings.HasSuffix(r.URL.Path, "/cut"):
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "the rest is missing")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case strings.HasSuffix(r.URL.Path, "/held"):
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			fmt.Fprint(w, "data: tick\n\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(250 * time.Millisecond)
		}
	default:
		_, _ = io.Copy(w, r.Body)
		fmt.Fprint(w, "hello ", r.Header.Get("X-Client-Id"))
	}
}

func (s *gatewaySoak) startFlaky() {
	listener, err := net.Listen("tcp", s.flakyAddress)
	if err != nil {
		s.Error(err)
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(s.upstream)}
	go server.Serve(listener)
	s.flaky.Store(server)
}

// fail stops the flaky upstream for 1 s in every 4, with all requests under way.
func (s *gatewaySoak) fail(stop <-chan struct{}) {
	for !closed(stop) {
		time.Sleep(3 * time.Second)
		s.isAway(time.Minute)
		s.flaky.Load().Close()
		time.Sleep(time.Second)
		s.startFlaky()
		s.isAway(time.Second) // until the gateway has dropped its connections
		s.outages.Add(1)
	}
}

func (s *gatewaySoak) isAway(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = time.Now().Add(d)
}

func (s *gatewaySoak) wasAway(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away.After(since)
}

// good sends requests that must be let in. With a fault of the upstream no request may be
// refused either.
func (s *gatewaySoak) good(n int, stop <-chan struct{}) {
	for !closed(stop) {
		n++
		time.Sleep(pace)
		method, path, flaky, fault := http.MethodGet, "/invoices/1", n%3 != 0, ""
		switch {
		case n%97 == 0:
			flaky, path, fault = true, "/orders/held", "held"
		case n%31 == 0:
			flaky, path, fault = true, "/orders/cut", "cut"
		case n%23 == 0:
			flaky, path, fault = true, "/orders/500", "500"
		case flaky && n%2 == 0:
			method, path = http.MethodPost, "/orders/new"
		case flaky:
			path = "/orders/1"
		}
		begun := time.Now()
		status, body, err := s.ask(method, path+"?as=good", s.token("good"), fault == "held")
		hello := strings.HasSuffix(body, "hello good")
		switch {
		case status == http.StatusOK && err == nil && hello && fault == "":
			s.accepted.Add(1)
		case fault == "held" && err != nil, fault == "cut" && (err != nil || status == http.StatusBadGateway), fault == "500" && status == http.StatusInternalServerError:
			s.badGateway.Add(1)
		case flaky && s.wasAway(begun) && (status == http.StatusBadGateway || status == http.StatusOK):
			s.badGateway.Add(1)
		default:
			s.refused.Add(1)
			s.Errorf("%s %s: %d %q %v", method, path, status, body[max(0, len(body)-200):], err)
		}
	}
}

// ask sends a request, and gives up soon if it is known to get no answer. The status is 0
// without one.
func (s *gatewaySoak) ask(method, path, token string, giveUp bool) (int, string, error) {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(strings.Repeat("x", 8<<10))
	}
	r, err := http.NewRequest(method, s.gateway.url+path, body)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	client := *s.client
	if giveUp {
		client.Timeout = 300 * time.Millisecond
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// stream reads one stream from start to end.
func (s *gatewaySoak) stream(stop <-chan struct{}) {
	r, err := http.NewRequest(http.MethodGet, s.gateway.url+"/invoices/events?as=good", nil)
	if err != nil {
		s.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+s.token("good"))
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		s.Error(err)
		return
	}
	defer answer.Body.Close()
	for lines := bufio.NewReader(answer.Body); !closed(stop); {
		line, err := lines.ReadString('\n')
		if err != nil {
			s.Errorf("the stream ended after %d events: %v", s.ticks.Load(), err)
			return
		}
		if line == "data: tick\n" {
			s.ticks.Add(1)
		}
	}
}

func (s *gatewaySoak) report() {
	s.Logf("good: let in %d, faults of the upstream passed on %d, refused %d; events of the stream %d", s.accepted.Load(), s.badGateway.Load(), s.refused.Load(), s.ticks.Load())
	s.Logf("hostile: %d requests, %d broken connections, let in %d, no answer %d, lies told to an upstream %d", s.attacks.Load(), s.leftOpen.Load(), s.admitted.Load(), s.unanswered.Load(), s.lies.Load())
	s.Logf("swaps %d, broken files %d, stops of the upstream %d, keys seen %d", s.swaps.Load(), s.broken.Load(), s.outages.Load(), len(s.keys))
	if strings.Contains(s.gateway.said(), "panic serving") {
		s.Error("the gateway panicked")
	}
	switch {
	case s.refused.Load() > 0 || s.admitted.Load() > 0 || s.lies.Load() > 0 || s.unanswered.Load() > 0:
		s.Error("the promise is broken")
	case s.accepted.Load() < 2000 || s.badGateway.Load() < 50 || s.attacks.Load() < 2000 || s.swaps.Load() < 20 || s.broken.Load() < 10 || s.outages.Load() < 12 || len(s.keys) < 8 || s.ticks.Load() < 200:
		s.Error("too little happened to prove anything")
	}
}

// verifyReport wants the report of the last shadow, which refuses all invoices.
func (s *gatewaySoak) verifyReport() {
	for range 3 {
		_, _, _ = s.ask(http.MethodGet, "/invoices/1?as=good", s.issuer.token(s.T, "good", s.secrets["good"]), false)
	}
	status, body, err := s.ask(http.MethodGet, "/shadow?"+url.Values{"format": {"text"}}.Encode(), s.issuer.token(s.T, "operator", s.secrets["operator"]), false)
	if err != nil || status != http.StatusOK || !strings.Contains(body, "client good") {
		s.Errorf("the report: %d %s %v", status, body[max(0, len(body)-200):], err)
	}
}
