package middleware

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // the fuzzer has a goroutine of its own
	}
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 10*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

// CI runs all tests a second time with -cache=-1, which turns the cache off.
var cacheSize = flag.Int("cache", 0, "the Config.CacheSize of tests that set none")

const (
	testIssuer   = "https://auth.example.com"
	testAudience = "https://api.example.com"
)

var (
	ecKey, _      = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _     = rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _   = ed25519.GenerateKey(rand.Reader)
	strangeKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // in no key set
)

func newKeyring(tb testing.TB, signers ...crypto.Signer) *jwks.Keyring {
	tb.Helper()
	keys, err := jwks.NewKeyring(signers...)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// payload is the claims of a good token, changed: "" removes a claim, anything
// else is its JSON.
func payload(changes map[string]string) string {
	now := time.Now().Unix()
	claims := map[string]string{
		"iss":       strconv.Quote(testIssuer),
		"aud":       strconv.Quote(testAudience),
		"sub":       `"app1"`,
		"client_id": `"app1"`,
		"jti":       `"id-1"`,
		"iat":       strconv.FormatInt(now, 10),
		"exp":       strconv.FormatInt(now+600, 10),
		"scope":     `"orders:read orders:write"`,
	}
	maps.Copy(claims, changes)
	var members []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if claims[name] != "" {
			members = append(members, strconv.Quote(name)+":"+claims[name])
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func sign(tb testing.TB, keys *jwks.Keyring, payload string) string {
	tb.Helper()
	token, err := keys.Sign(tb.Context(), "at+jwt", []byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func goodToken(tb testing.TB, keys *jwks.Keyring) string {
	tb.Helper()
	return sign(tb, keys, payload(nil))
}

func encode[T string | []byte](part T) string {
	return base64.RawURLEncoding.EncodeToString([]byte(part))
}

// forge signs any header over any payload, as the key's type does by default.
func forge(tb testing.TB, header, payload string, key crypto.Signer) string {
	tb.Helper()
	input := encode(header) + "." + encode(payload)
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, k, sum[:])
		signature, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), signErr
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(input))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return input + "." + encode(signature)
}

// kidOf is the kid under which a keyring publishes its signing key.
func kidOf(tb testing.TB, keys *jwks.Keyring) string {
	tb.Helper()
	jws, err := jose.Parse(goodToken(tb, keys), 0)
	if err != nil {
		tb.Fatal(err)
	}
	return jws.KeyID()
}

// sourceFunc is a key source of one func.
type sourceFunc func(ctx context.Context, kid string) (*jose.Key, error)

func (f sourceFunc) Key(ctx context.Context, kid, _ string) (*jose.Key, error) { return f(ctx, kid) }

// api is an app with one guarded route, and a record of what reached it.
type api struct {
	*echo.Echo
	auth   *Bearer
	tokens []*Token // as the handler saw them
	events []Event
}

// newAPI guards GET / with Require(scopes...).
func newAPI(tb testing.TB, c Config, scopes ...string) *api {
	tb.Helper()
	a := &api{Echo: echo.New()}
	if c.Issuer == "" {
		c.Issuer = testIssuer
	}
	if c.Audience == "" {
		c.Audience = testAudience
	}
	c.CacheSize = cmp.Or(c.CacheSize, *cacheSize)
	if c.Observe == nil {
		c.Observe = func(_ context.Context, event Event) { a.events = append(a.events, event) }
	}
	auth, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	a.auth = auth
	a.GET("/", a.serve, auth.Require(scopes...))
	return a
}

func (a *api) serve(c echo.Context) error {
	a.tokens = append(a.tokens, TokenFrom(c))
	return c.NoContent(http.StatusOK)
}

// get asks for a path with these values of the Authorization header.
func (a *api) get(path string, authorization ...string) *httptest.ResponseRecorder {
	return a.do(http.MethodGet, path, authorization...)
}

func (a *api) do(method, path string, authorization ...string) *httptest.ResponseRecorder {
	return ask(a, method, path, authorization...)
}

func (a *api) send(r *http.Request) *httptest.ResponseRecorder { return send(a, r) }

func ask(h http.Handler, method, path string, authorization ...string) *httptest.ResponseRecorder {
	return send(h, request(method, path, authorization...))
}

func request(method, path string, authorization ...string) *http.Request {
	r := httptest.NewRequest(method, path, http.NoBody)
	if len(authorization) > 0 {
		r.Header["Authorization"] = authorization
	}
	return r
}

func send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// cause is the private cause of the last event.
func (a *api) cause() string {
	if len(a.events) == 0 || a.events[len(a.events)-1].Err == nil {
		return ""
	}
	return a.events[len(a.events)-1].Err.Error()
}

// wantInvalid checks the one answer for whatever is wrong with a token, and that
// it was refused for the reason the test is about.
func (a *api) wantInvalid(t *testing.T, token, cause string) {
	t.Helper()
	served := len(a.tokens)
	w := a.get("/", "Bearer "+token)
	if len(a.tokens) != served {
		t.Error("the handler was called")
	}
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", w.Code)
	}
	const challenge = `Bearer error="invalid_token", error_description="the access token is not valid"`
	if got := w.Header().Values("WWW-Authenticate"); len(got) != 1 || got[0] != challenge {
		t.Errorf("WWW-Authenticate %q, want %q", got, challenge)
	}
	if got := strings.TrimSpace(w.Body.String()); got != `{"message":"the access token is not valid"}` {
		t.Errorf("body %s", got)
	}
	if !strings.Contains(a.cause(), cause) {
		t.Errorf("refused because %q, want %q", a.cause(), cause)
	}
}

func (a *api) wantServed(t *testing.T, token string) *Token {
	t.Helper()
	served := len(a.tokens)
	w := a.get("/", "Bearer "+token)
	if w.Code != http.StatusOK || len(a.tokens) != served+1 {
		t.Fatalf("status %d: %s", w.Code, a.cause())
	}
	return a.tokens[served]
}

// unread is a ResponseWriter that keeps nothing but the status.
type unread struct {
	header http.Header
	status int
}

func (u *unread) Header() http.Header         { return u.header }
func (u *unread) WriteHeader(status int)      { u.status = status }
func (u *unread) Write(p []byte) (int, error) { return len(p), nil }

// route is an app of one route, asked without a network.
type route struct {
	app     *echo.Echo
	request *http.Request
	answer  unread
}

func newRoute(guard ...echo.MiddlewareFunc) *route {
	r := &route{app: echo.New(), request: httptest.NewRequest(http.MethodGet, "/", http.NoBody), answer: unread{header: http.Header{}}}
	r.app.GET("/", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) }, guard...)
	r.request.Header["Authorization"] = []string{""}
	return r
}

// another is the same route, for another goroutine.
func (r *route) another() *route {
	return &route{app: r.app, request: r.request.Clone(context.Background()), answer: unread{header: http.Header{}}}
}

func (r *route) ask(tb testing.TB, authorization string, want int) {
	r.request.Header["Authorization"][0] = authorization
	r.app.ServeHTTP(&r.answer, r.request)
	if r.answer.status != want {
		tb.Fatalf("status %d, want %d", r.answer.status, want)
	}
}

// asking goes through the tokens in turn.
func (r *route) asking(list []string) func(testing.TB) {
	next := 0
	return func(tb testing.TB) {
		r.ask(tb, list[next%len(list)], http.StatusNoContent)
		next++
	}
}

var benchSigners = []struct {
	alg    string
	signer crypto.Signer
}{{"ES256", ecKey}, {"RS256", rsaKey}, {"EdDSA", edKey}}

// notRevoked is a Config.Revoked that costs what a lookup does, and takes no lock: a
// caller that wrote to one would hide how the rest scales. The issuer's own is measured
// in example/bench.
func notRevoked() func(context.Context, string, string, time.Time) (bool, error) {
	revoked := map[string]bool{"x": true} // never changes
	return func(_ context.Context, jti, clientID string, _ time.Time) (bool, error) {
		return revoked[jti] || revoked[clientID], nil
	}
}

func benchGuard(tb testing.TB, c Config) *Bearer {
	tb.Helper()
	c.Issuer, c.Audience = testIssuer, testAudience
	b, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// tokens are n different good tokens, as they come in the header, of so many
// clients.
func tokens(tb testing.TB, keys *jwks.Keyring, n, clients int) []string {
	tb.Helper()
	return numbered(tb, keys, 0, n, clients)
}

func numbered(tb testing.TB, keys *jwks.Keyring, from, n, clients int) []string {
	tb.Helper()
	list := make([]string, n)
	var work sync.WaitGroup
	for w := range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for i := w; i < n; i += runtime.GOMAXPROCS(0) {
				client := strconv.Quote(fmt.Sprintf("client-%d", (from+i)%clients))
				list[i] = "Bearer " + sign(tb, keys, payload(map[string]string{
					"jti": fmt.Sprintf(`"tJ5pbrYjFHXJ9-%08d"`, from+i), "sub": client, "client_id": client, "exp": strconv.FormatInt(time.Now().Unix()+100_000, 10),
				}))
			}
		})
	}
	work.Wait()
	return list
}

// firstSight asks with one token after another, each of which the guard sees for
// the first time: before they are used again, there is a new guard.
type firstSight struct {
	config Config
	list   []string
	route  *route
	next   int
}

func (f *firstSight) ask(tb testing.TB) {
	if f.next%len(f.list) == 0 {
		f.route = newRoute(benchGuard(tb, f.config).Require("orders:read"))
	}
	f.route.ask(tb, f.list[f.next%len(f.list)], http.StatusNoContent)
	f.next++
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
