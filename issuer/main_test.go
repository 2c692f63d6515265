package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/crypto/argon2"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzing engine leaves a goroutine of its own
	}
	http.DefaultClient.CloseIdleConnections()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 2*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

const (
	testIssuer = "https://auth.example.com"
	ordersAPI  = "https://orders.example.com"
	billingAPI = "https://billing.example.com"
)

var (
	ecKey, _             = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	appSecret, appStored = registry.GenerateSecret()
	appForm              = form("grant_type", "client_credentials", "client_id", "app", "client_secret", appSecret)
)

// hasty is a timetable of keys that a test in simulated time can wait for.
var hasty = jwks.Policy{RotateEvery: 2 * time.Hour, Announce: 30 * time.Minute, Retain: 2 * time.Hour}

// app is the client that most tests ask with.
func app() registry.Client {
	return registry.Client{
		ID: "app", Secrets: []registry.Secret{appStored},
		Scopes:    []string{"orders:read", "orders:write"},
		Audiences: []string{ordersAPI},
	}
}

// form encodes name, value, name, value, …
func form(pairs ...string) string {
	var b strings.Builder
	for n := 0; n < len(pairs); n += 2 {
		if n > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(pairs[n]) + "=" + url.QueryEscape(pairs[n+1]))
	}
	return b.String()
}

// quickHash is an imported secret whose hash costs little.
func quickHash(tb testing.TB, plain string) registry.Secret {
	tb.Helper()
	return argonHash(tb, plain, 64, 1)
}

// argonHash is an imported secret whose argon2id hash has the cost given.
func argonHash(tb testing.TB, plain string, memory, passes uint32) registry.Secret {
	tb.Helper()
	salt := []byte(rand.Text()[:16])
	sum := argon2.IDKey([]byte(plain), salt, passes, memory, 1, 32)
	b64 := base64.RawStdEncoding
	s, err := registry.ImportSecret(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, memory, passes, b64.EncodeToString(salt), b64.EncodeToString(sum)))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// comparisons are the hashes that secrets were compared with.
type comparisons struct {
	mu         sync.Mutex
	fast, slow []string
}

// watch takes the place of registry.Secret.Matches.
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

func newKeyring(tb testing.TB, signers ...crypto.Signer) *jwks.Keyring {
	tb.Helper()
	keys, err := jwks.NewKeyring(signers...)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func newStore(tb testing.TB, clients ...registry.Client) *registry.Memory {
	tb.Helper()
	store, err := registry.NewMemory(clients...)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// service is an Echo app with an issuer mounted, and a record of its events.
type service struct {
	app    *echo.Echo
	issuer *Issuer
	keys   *jwks.Keyring

	mu     sync.Mutex
	events []Event

	compared comparisons
}

// slowHashesIn counts the slow hashes that f takes.
func (s *service) slowHashesIn(f func()) int {
	before := len(s.compared.slow)
	f()
	return len(s.compared.slow) - before
}

// fastHashesIn counts the others.
func (s *service) fastHashesIn(f func()) int {
	before := len(s.compared.fast)
	f()
	return len(s.compared.fast) - before
}

// newService fills in what the config leaves out. Without a store it has the
// clients, or app alone.
func newService(tb testing.TB, c Config, clients ...registry.Client) *service {
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
		quick := quickHash(tb, "nobody's") // an unknown client costs little
		slow.dummy.Store(&quick)
	}
	s.issuer.Mount(s.app)
	return s
}

// post sends a form to the token endpoint, with header name, value, name, …
func (s *service) post(body string, header ...string) *httptest.ResponseRecorder {
	return s.postTo("/token", body, header...)
}

func (s *service) postTo(path, body string, header ...string) *httptest.ResponseRecorder {
	return s.send(newForm(path, body, header...))
}

func newForm(path, body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for n := 0; n < len(header); n += 2 {
		r.Header.Add(header[n], header[n+1])
	}
	return r
}

func (s *service) get(method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	for n := 0; n < len(header); n += 2 {
		r.Header.Add(header[n], header[n+1])
	}
	return s.send(r)
}

func (s *service) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.app.ServeHTTP(w, r)
	return w
}

// lastEvent returns the last event of a request. What happens in the background is told
// at any time in between.
func (s *service) lastEvent(t *testing.T) Event {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.events) {
		if e.Op != event.OpFollow && e.Op != event.OpRecord && e.Op != event.OpConfig {
			return e
		}
	}
	t.Fatal("no event")
	return Event{}
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
	// RFC 6749 §5.2: the characters of error_description.
	if strings.ContainsFunc(description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("error_description %q has characters it must not", description)
	}
	e := s.lastEvent(t)
	if e.Err == nil || e.Status != status || e.Code != code || !slices.Contains(event.Reasons(), e.Reason) || e.Op == event.OpToken && e.TokenID != "" {
		t.Errorf("event %+v does not tell of this answer", e)
	}
}

// wantCause checks the private reason of the last refusal.
func (s *service) wantCause(t *testing.T, cause error) {
	t.Helper()
	if err := s.lastEvent(t).Err; !errors.Is(err, cause) {
		t.Errorf("refused because of %v, want %v", err, cause)
	}
}

// wantUnauthorized checks the one answer to every failed authentication.
func (s *service) wantUnauthorized(t *testing.T, w *httptest.ResponseRecorder, cause error) {
	t.Helper()
	s.wantError(t, w, http.StatusUnauthorized, "invalid_client", "client authentication failed")
	s.wantCause(t, cause)
}

// seeded adds the seeds, and fails when there are none: a fuzz target without a
// corpus tests nothing in go test.
func seeded[T any](f *testing.F, seeds []T, add func(T)) {
	f.Helper()
	if len(seeds) == 0 {
		f.Fatal("the seed corpus is empty")
	}
	for _, seed := range seeds {
		add(seed)
	}
}
