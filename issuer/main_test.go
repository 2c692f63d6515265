package issuer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
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
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
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
	appSecret, appStored = GenerateSecret()
	appForm              = form("grant_type", "client_credentials", "client_id", "app", "client_secret", appSecret)
)

// app is the client that most tests ask with.
func app() Client {
	return Client{
		ID: "app", Secrets: []Secret{appStored},
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
func quickHash(tb testing.TB, plain string) Secret {
	tb.Helper()
	a := argonParams{memory: 64, time: 1, lanes: 1, salt: []byte(rand.Text())}
	a.sum = a.hash(plain, 32)
	s, err := ImportSecret(a.String())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// slowHashesIn counts the argon2id hashes of the default cost that f takes: each
// allocates its 19 MiB, and nothing else here comes near.
func slowHashesIn(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int((after.TotalAlloc - before.TotalAlloc) / (argonMemory << 10))
}

// storeFunc is a store of one func.
type storeFunc func(ctx context.Context, id string) (*Client, error)

func (f storeFunc) Client(ctx context.Context, id string) (*Client, error) { return f(ctx, id) }

func (f storeFunc) Revoke(context.Context, Revocation) error { return errStoreAway }

func (f storeFunc) Revocations(context.Context, int64) ([]Revocation, error) { return nil, nil }

func (f storeFunc) Once(context.Context, string, string, time.Time) (bool, error) {
	return false, errStoreAway
}

// watched is a store that is not in this process, as far as the issuer can see:
// what it is asked is counted, and it can be made to fail.
type watched struct {
	*Memory
	reads, looks, writes atomic.Int64

	mu  sync.Mutex
	act func(ctx context.Context, method string) error // before each call
}

func (w *watched) Client(ctx context.Context, id string) (*Client, error) {
	w.reads.Add(1)
	if err := w.before(ctx, "Client"); err != nil {
		return nil, err
	}
	return w.Memory.Client(ctx, id)
}

func (w *watched) Revoke(ctx context.Context, r Revocation) error {
	w.writes.Add(1)
	if err := w.before(ctx, "Revoke"); err != nil {
		return err
	}
	return w.Memory.Revoke(ctx, r)
}

func (w *watched) Revocations(ctx context.Context, since int64) ([]Revocation, error) {
	w.looks.Add(1)
	if err := w.before(ctx, "Revocations"); err != nil {
		return nil, err
	}
	return w.Memory.Revocations(ctx, since)
}

func (w *watched) before(ctx context.Context, method string) error {
	w.mu.Lock()
	act := w.act
	w.mu.Unlock()
	if act == nil {
		return nil
	}
	return act(ctx, method)
}

// does sets what happens before each call; nil for nothing.
func (w *watched) does(act func(ctx context.Context, method string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.act = act
}

var errDown = errors.New("pq: connection refused")

// down is a store that fails at once, hung one that never answers.
func down(context.Context, string) error { return errDown }

func hung(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// at lets only one method go wrong.
func at(method string, act func(context.Context, string) error) func(context.Context, string) error {
	return func(ctx context.Context, called string) error {
		if called != method {
			return nil
		}
		return act(ctx, called)
	}
}

func newKeyring(tb testing.TB, signers ...crypto.Signer) *jwks.Keyring {
	tb.Helper()
	keys, err := jwks.Static(signers...)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func newStore(tb testing.TB, clients ...Client) *Memory {
	tb.Helper()
	store, err := NewMemory(clients...)
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
	header atomic.Bool // the latest request had an Authorization header
}

// newService fills in what the config leaves out. Without a store it has the
// clients, or app alone.
func newService(tb testing.TB, c Config, clients ...Client) *service {
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
			clients = []Client{app()}
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
	s.header.Store(len(r.Header.Values("Authorization")) > 0)
	s.app.ServeHTTP(w, r)
	return w
}

func (s *service) lastEvent(t *testing.T) Event {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		t.Fatal("no event")
	}
	return s.events[len(s.events)-1]
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
		if !s.header.Load() {
			break
		}
		header.Set("WWW-Authenticate", `Basic realm="token", charset="UTF-8"`)
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
	var answered *Error
	if !errors.As(e.Err, &answered) || answered.Status != status || answered.Code != code || e.TokenID != "" {
		t.Errorf("event %+v does not tell of this answer", e)
	}
}

// wantCause checks the private reason of the last refusal.
func (s *service) wantCause(t *testing.T, cause error) {
	t.Helper()
	if err := s.lastEvent(t).Err; !errors.Is(err, cause) {
		t.Errorf("refused because of %v, want %v", errors.Unwrap(err), cause)
	}
}

// cause is the text of it.
func (s *service) cause(t *testing.T) string {
	t.Helper()
	if cause := errors.Unwrap(s.lastEvent(t).Err); cause != nil {
		return cause.Error()
	}
	return ""
}

// wantUnauthorized checks the one answer to every failed authentication.
func (s *service) wantUnauthorized(t *testing.T, w *httptest.ResponseRecorder, cause error) {
	t.Helper()
	s.wantError(t, w, http.StatusUnauthorized, "invalid_client", "client authentication failed")
	s.wantCause(t, cause)
}

// granted is a token in all its forms.
type granted struct {
	token   string
	header  string // decoded JSON
	payload string // decoded JSON, its signature verified
	answer  struct {
		AccessToken string  `json:"access_token"`
		TokenType   string  `json:"token_type"`
		ExpiresIn   int64   `json:"expires_in"`
		Scope       *string `json:"scope"`
	}
	claims struct {
		Issuer   string          `json:"iss"`
		Subject  string          `json:"sub"`
		Audience json.RawMessage `json:"aud"`
		Expiry   int64           `json:"exp"`
		IssuedAt int64           `json:"iat"`
		ID       string          `json:"jti"`
		ClientID string          `json:"client_id"`
		Scope    *string         `json:"scope"`
	}
}

// scope is what the token and the answer both say, "-" for nothing.
func (g *granted) scope(t *testing.T) string {
	t.Helper()
	claim, answer := "-", "-"
	if g.claims.Scope != nil {
		claim = *g.claims.Scope
	}
	if g.answer.Scope != nil {
		answer = *g.answer.Scope
	}
	if claim != answer {
		t.Errorf("the answer states scope %q, the token %q", answer, claim)
	}
	return claim
}

// wantToken checks that a token was granted, and verifies it as a resource
// server would.
func (s *service) wantToken(t *testing.T, w *httptest.ResponseRecorder) *granted {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	header := http.Header{
		"Cache-Control":  {"no-store"},
		"Content-Length": {strconv.Itoa(w.Body.Len())},
		"Content-Type":   {"application/json"},
		"Pragma":         {"no-cache"},
	}
	if !maps.EqualFunc(w.Header(), header, slices.Equal) {
		t.Errorf("headers %v, want %v", w.Header(), header)
	}
	g := &granted{}
	strict := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&g.answer); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	g.token = g.answer.AccessToken
	g.verify(t, s.keys)
	if e := s.lastEvent(t); e.Err != nil || e.ClientID != g.claims.Subject || e.TokenID != g.claims.ID {
		t.Errorf("event %+v does not tell of this token", e)
	}
	return g
}

func (g *granted) verify(t *testing.T, keys jwks.Source) {
	t.Helper()
	jws, err := jwks.Parse(g.token, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Key(t.Context(), jws.KeyID(), jws.Algorithm())
	if err != nil {
		t.Fatal(err)
	}
	if g.payload, err = jws.Verify(key); err != nil {
		t.Fatal(err)
	}
	if _, err := jwks.ParseClaims(g.payload); err != nil {
		t.Fatalf("%v: %s", err, g.payload)
	}
	if err := json.Unmarshal([]byte(g.payload), &g.claims); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(g.token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	g.header = string(decoded)
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
