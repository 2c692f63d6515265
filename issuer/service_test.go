package issuer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// hasty is the shortest timetable of keys that a test can wait for in simulated time.
var hasty = jwks.Policy{RotateEvery: 2 * time.Hour, Announce: 30 * time.Minute, Retain: 2 * time.Hour}

// comparisons records the hashes that secrets were compared with.
type comparisons struct {
	mu         sync.Mutex
	fast, slow []string
}

// service is an Echo app with an issuer mounted. It records the issuer's events.
type service struct {
	app    *echo.Echo
	issuer *Issuer
	keys   *jwks.Keyring

	mu     sync.Mutex
	events []Event

	compared comparisons
}

// newService is newSpreading with exact lifetimes of tokens.
func newService(tb testing.TB, c Config, clients ...registry.Client) *service {
	tb.Helper()
	c.ExactTTL = true
	return newSpreading(tb, c, clients...)
}

// newSpreading starts an issuer, with defaults for empty fields of the config. The default
// store has the clients, or app if there are none.
func newSpreading(tb testing.TB, c Config, clients ...registry.Client) *service {
	tb.Helper()
	s := &service{app: echo.New(), keys: c.Keys}
	if c.Issuer == "" {
		c.Issuer = testIssuer
	}
	if s.keys == nil {
		s.keys = newKeyring(tb, ecKey)
		c.Keys = s.keys
	}
	if c.Store == nil {
		if clients == nil {
			clients = []registry.Client{app()}
		}
		c.Store = newStore(tb, clients...)
	}
	if c.Observe == nil {
		c.Observe = func(_ context.Context, e Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}
	}
	var err error
	if s.issuer, err = New(c); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.issuer.Close(); err != nil {
			tb.Error(err)
		}
	})
	s.issuer.secrets.matches = s.compared.watch
	if slow := s.issuer.secrets.slow; slow != nil {
		slow.matches = s.compared.watch
		quick := quickHash(tb, "unknown") // an unknown id costs little
		slow.dummy.Store(&quick)
	}
	s.issuer.Mount(s.app)
	return s
}

// newGuessed starts an issuer that accepts chosen secrets.
func newGuessed(tb testing.TB, attempts int, clients ...registry.Client) *service {
	tb.Helper()
	return newService(tb, Config{ImportedSecrets: true, FailedAttempts: attempts}, clients...)
}

// claiming starts an issuer whose Config.Claims returns the claims.
func claiming(t *testing.T, claims map[string]any) *service {
	t.Helper()
	return newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) { return claims, nil }})
}

// claimsError starts an issuer whose Config.Claims fails.
func claimsError(t *testing.T, err error) *service {
	t.Helper()
	return newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) { return nil, err }})
}

// newKeyring returns a keyring of static keys.
func newKeyring(tb testing.TB, signers ...crypto.Signer) *jwks.Keyring {
	tb.Helper()
	keys, err := jwks.NewKeyring(signers...)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// newStore returns a Memory with the clients.
func newStore(tb testing.TB, clients ...registry.Client) *registry.Memory {
	tb.Helper()
	store, err := registry.NewMemory(clients...)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// post sends a form to the token endpoint, with header name, value, name, …
func (s *service) post(body string, header ...string) *httptest.ResponseRecorder {
	return s.postTo("/token", body, header...)
}

// postTo sends a form to the path.
func (s *service) postTo(path, body string, header ...string) *httptest.ResponseRecorder {
	return s.send(newForm(path, body, header...))
}

// get sends a request without a body.
func (s *service) get(method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	for n := 0; n < len(header); n += 2 {
		r.Header.Add(header[n], header[n+1])
	}
	return s.send(r)
}

// from sends credentials from an address.
func (s *service) from(address, id, secret string) *httptest.ResponseRecorder {
	r := newForm("/token", "grant_type=client_credentials", "Authorization", basic(id, secret))
	r.RemoteAddr = address
	return s.send(r)
}

// send sends a request.
func (s *service) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.app.ServeHTTP(w, r)
	return w
}

// of returns the events of an operation since the last call.
func (s *service) of(op event.Op) (found []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var others []Event
	for _, e := range s.events {
		if e.Op == op {
			found = append(found, e)
		} else {
			others = append(others, e)
		}
	}
	s.events = others
	return found
}

// wantOne checks that one event of the operation was sent since the last call of of, with
// that reason.
func (s *service) wantOne(t *testing.T, op event.Op, reason event.Reason) Event {
	t.Helper()
	found := s.of(op)
	if len(found) != 1 || found[0].Reason != reason || (found[0].Err == nil) != (reason == "") {
		t.Fatalf("events %+v, want one with the reason %q", found, reason)
	}
	return found[0]
}

// took returns the only event that f causes. Those of background work, which may come in
// between, are left out.
func (s *service) took(t *testing.T, f func()) Event {
	t.Helper()
	s.mu.Lock()
	s.events = nil
	s.mu.Unlock()
	f()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = slices.DeleteFunc(s.events, ofBackground)
	if len(s.events) != 1 {
		t.Fatalf("%d events, want 1: %+v", len(s.events), s.events)
	}
	return s.events[0]
}

// ofBackground reports whether an event is not of a request.
func ofBackground(e Event) bool {
	return e.Op == event.OpFollow || e.Op == event.OpRecord || e.Op == event.OpConfig
}

// lastEvent returns the last event of a request. Events of background work may come in
// between.
func (s *service) lastEvent(t *testing.T) Event {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.events) {
		if !ofBackground(e) {
			return e
		}
	}
	t.Fatal("no event")
	return Event{}
}

// wantStatus checks the status of an answer.
func (s *service) wantStatus(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
	}
}

// wantError checks the whole answer: status, every header, every byte.
func (s *service) wantError(t *testing.T, w *httptest.ResponseRecorder, status int, code, description string) {
	t.Helper()
	body := fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, description)
	header := http.Header{
		"Cache-Control":  {"no-store"},
		"Content-Length": {strconv.Itoa(len(body))},
		"Content-Type":   {"application/json"},
		"Pragma":         {"no-cache"},
	}
	switch status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", fmt.Sprintf(`Basic realm="token", charset="UTF-8", error=%q, error_description=%q`, code, description))
	case http.StatusMethodNotAllowed:
		header.Set("Allow", "POST")
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	}
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	if got := w.Body.String(); got != body {
		t.Errorf("body %s, want %s", got, body)
	}
	if !maps.EqualFunc(w.Header(), header, slices.Equal) {
		t.Errorf("headers %v, want %v", w.Header(), header)
	}
	// RFC 6749, section 5.2 lists the characters of error_description.
	if strings.ContainsFunc(description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("error_description %q has characters it must not", description)
	}
	e := s.lastEvent(t)
	if e.Err == nil || e.Status != status || e.Code != code || !slices.Contains(event.Reasons(), e.Reason) || e.Op == event.OpToken && e.TokenID != "" {
		t.Errorf("event %+v does not report this answer", e)
	}
}

// wantUnauthorized checks the one answer to every failed authentication.
func (s *service) wantUnauthorized(t *testing.T, w *httptest.ResponseRecorder, cause error) {
	t.Helper()
	s.wantError(t, w, http.StatusUnauthorized, "invalid_client", "client authentication failed")
	s.wantCause(t, cause)
}

// wantUnavailable checks a whole answer of 503.
func (s *service) wantUnavailable(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	s.wantError(t, w, 503, "temporarily_unavailable", "try again in a moment")
}

// wantLocked checks a whole answer of 429.
func (s *service) wantLocked(t *testing.T, w *httptest.ResponseRecorder, retryAfter int) {
	t.Helper()
	if got := w.Header().Get("Retry-After"); got != strconv.Itoa(retryAfter) {
		t.Errorf("Retry-After %q, want %d", got, retryAfter)
	}
	w.Header().Del("Retry-After")
	s.wantError(t, w, 429, "temporarily_unavailable", "too many failed attempts, try again later")
	s.wantCause(t, errLockedOut)
}

// wantBody checks the whole answer: status 200, every header, every byte.
func (s *service) wantBody(t *testing.T, w *httptest.ResponseRecorder, body string) {
	t.Helper()
	header := fmt.Sprint(http.Header{
		"Cache-Control": {"no-store"}, "Content-Length": {fmt.Sprint(len(body))}, "Content-Type": {"application/json"}, "Pragma": {"no-cache"},
	})
	if got := w.Body.String(); w.Code != 200 || got != body {
		t.Errorf("status %d, body %s, want %s", w.Code, got, body)
	}
	if got := fmt.Sprint(w.Header()); got != header {
		t.Errorf("headers %s, want %s", got, header)
	}
}

// wantCause checks the private cause of the last refusal.
func (s *service) wantCause(t *testing.T, cause error) {
	t.Helper()
	if err := s.lastEvent(t).Err; !errors.Is(err, cause) {
		t.Errorf("refused because of %v, want %v", err, cause)
	}
}

// revoked asks Revoked, as a guard in this process does.
func (s *service) revoked(t *testing.T, g *granted) bool {
	t.Helper()
	revoked, err := s.issuer.Revoked(t.Context(), g.claims.ID, g.claims.ClientID, time.Unix(g.claims.IssuedAt, 0))
	if err != nil {
		t.Fatal(err)
	}
	return revoked
}

// watch replaces registry.Secret.Matches.
func (c *comparisons) watch(stored *registry.Secret, plain string) bool {
	c.mu.Lock()
	if stored.Generated() {
		c.fast = append(c.fast, stored.Hash)
	} else {
		c.slow = append(c.slow, stored.Hash)
	}
	c.mu.Unlock()
	return stored.Matches(plain)
}

// slowHashesIn returns how many slow hashes f costs.
func (s *service) slowHashesIn(f func()) int {
	before := len(s.compared.slow)
	f()
	return len(s.compared.slow) - before
}

// fastHashesIn returns how many fast hashes f costs.
func (s *service) fastHashesIn(f func()) int {
	before := len(s.compared.fast)
	f()
	return len(s.compared.fast) - before
}
