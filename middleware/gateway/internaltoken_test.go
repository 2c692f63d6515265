package gateway

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const (
	gatewayIssuer  = "https://gateway.internal"
	ordersAudience = "https://orders.internal"
)

func newInternal(keys *jwks.Keyring) *Internal {
	return &Internal{Keys: keys, Issuer: gatewayIssuer, Audience: ordersAudience}
}

// forwarded returns the request that goes upstream for one with a caller's token.
func forwarded(tb testing.TB, f *Forwarder, c *callers, token string) *http.Request {
	tb.Helper()
	var out *http.Request
	h := c.auth.Handler(f.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { out = r })))
	r := httptest.NewRequestWithContext(tb.Context(), "GET", "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK || out == nil {
		tb.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return out
}

// An upstream over HTTP, guarded by this library, verifies the token of the gateway with
// keys that it fetches from the gateway. Each upstream takes the token of its own audience
// alone, and none takes the caller's.
func TestUpstreamVerifiesInternalToken(t *testing.T) {
	c := newCallers(t)
	own := newTestKeys(t)
	keySet := serve(t, own)
	newGuard := func(audience string) *bearer.Bearer {
		remote := jwks.NewRemote(keySet.URL, jwks.RemoteConfig{})
		t.Cleanup(func() { _ = remote.Close() })
		guard, err := bearer.New(bearer.Config{Issuer: gatewayIssuer, Audience: audience, Keys: remote})
		if err != nil {
			t.Fatal(err)
		}
		return guard
	}
	orders, invoices := newGuard(ordersAudience), newGuard("https://invoices.internal")
	for _, face := range faces {
		var seen *bearer.Token
		upstream := serve(t, orders.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen = bearer.TokenFromContext(r.Context())
			if r.Header.Get("X-Client-Id") != "" {
				t.Error("plain headers go with the internal token")
			}
		}), "orders:read"))
		other := serve(t, invoices.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other upstream takes the token") })))
		internal := newInternal(own)
		internal.Claims = []string{"tenant", "missing"}
		f := newTestForwarder(t, ForwardConfig{Internal: internal})
		token := c.token(t, map[string]any{"tenant": map[string]any{"id": 7}})
		if code := status(t, newFront(t, face, c, f, upstream.URL, nil), token); code != http.StatusOK || seen == nil {
			t.Fatalf("%s: status %d", face, code)
		}
		if seen.ClientID != "app1" || seen.Subject != "app1" || !slices.Equal(seen.Scopes, []string{"orders:read", "orders:write"}) || seen.Issuer != gatewayIssuer {
			t.Errorf("%s: the upstream reads %+v", face, seen)
		}
		var claims map[string]any
		if err := seen.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		tenant, err := json.Marshal(claims["tenant"])
		if err != nil {
			t.Fatal(err)
		}
		if claims["token_issuer"] != callerIssuer || claims["token_id"] != "id-1" || string(tenant) != `{"id":7}` {
			t.Errorf("%s: claims %v", face, claims)
		}
		if _, ok := claims["missing"]; ok {
			t.Errorf("%s: a claim that the caller's token lacks is there", face)
		}
		if code := status(t, newFront(t, face, c, f, other.URL, nil), token); code != http.StatusUnauthorized {
			t.Errorf("%s: the other upstream answers %d", face, code)
		}
		if code := status(t, newFront(t, face, c, newTestForwarder(t, ForwardConfig{PassAuthorization: true}), upstream.URL, nil), token); code != http.StatusUnauthorized {
			t.Errorf("%s: the caller's own token is answered %d", face, code)
		}
	}
}

func status(t *testing.T, front http.Handler, token string) int {
	t.Helper()
	s := serve(t, front)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

// countingSigner counts signatures, and may hold them up.
type countingSigner struct {
	crypto.Signer
	signed atomic.Int64
	gate   chan struct{} // nil: open
	fail   atomic.Bool
}

func (s *countingSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.signed.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	if s.fail.Load() {
		return nil, io.ErrUnexpectedEOF
	}
	return s.Signer.Sign(random, digest, opts)
}

func newCountingKeys(tb testing.TB) (*jwks.Keyring, *countingSigner) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer := &countingSigner{Signer: key}
	keys, err := jwks.NewKeyring(signer)
	if err != nil {
		tb.Fatal(err)
	}
	return keys, signer
}

// A repeated token of a caller costs no further signature until half of the life of the
// internal one is over. Each token of a caller has its own.
func TestInternalTokenIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		keys, signer := newCountingKeys(t)
		f := newTestForwarder(t, ForwardConfig{Internal: newInternal(keys)})
		one, two := c.token(t, map[string]any{"jti": "one"}), c.token(t, map[string]any{"jti": "two"})
		for range 20 {
			if first, second := forwarded(t, f, c, one).Header.Get("Authorization"), forwarded(t, f, c, two).Header.Get("Authorization"); first == second {
				t.Fatal("two tokens of a caller have one internal token")
			}
		}
		if n := signer.signed.Load(); n != 4 { // a token is cached on its second use
			t.Errorf("%d signatures for two tokens, want 4", n)
		}
		before := forwarded(t, f, c, one).Header.Get("Authorization")
		time.Sleep(29 * time.Second)
		if forwarded(t, f, c, one).Header.Get("Authorization") != before {
			t.Error("the token is renewed before half of its life is over")
		}
		time.Sleep(2 * time.Second)
		if forwarded(t, f, c, one).Header.Get("Authorization") == before {
			t.Error("the token is sent when half of its life is over")
		}
	})
}

// The internal token never outlives the caller's.
func TestInternalTokenEndsWithCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		f := newTestForwarder(t, ForwardConfig{Internal: newInternal(newTestKeys(t))})
		for left, want := range map[time.Duration]time.Duration{10 * time.Minute: time.Minute, 20 * time.Second: 20 * time.Second, -5 * time.Second: -5 * time.Second} {
			token := c.token(t, map[string]any{"exp": time.Now().Add(left).Unix()}) // -5 s: within the guard's leeway
			for range 3 {
				claims := claimsOf(t, forwarded(t, f, c, token))
				if got := time.Unix(int64(claims["exp"].(float64)), 0); !got.Equal(time.Now().Add(want)) {
					t.Errorf("a token with %v left gets one until %v, want %v", left, got, time.Now().Add(want))
				}
			}
		}
	})
}

func claimsOf(t *testing.T, r *http.Request) map[string]any {
	t.Helper()
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	payload, err := decodePayload(token)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// Tokens that differ in anything the upstream is told have different internal tokens, also
// if the issuer gives no jti of its own.
func TestInternalTokensDoNotCross(t *testing.T) {
	c := newCallers(t)
	internal := newInternal(newTestKeys(t))
	internal.Claims = []string{"tenant"}
	f := newTestForwarder(t, ForwardConfig{Internal: internal})
	seen := map[string]string{}
	for name, changes := range map[string]map[string]any{
		"none": nil, "tenant a": {"tenant": "a"}, "tenant b": {"tenant": "b"}, "tenant list": {"tenant": []string{"a"}},
		"client": {"client_id": "app2"}, "subject": {"sub": "app2"}, "scope": {"scope": "orders:read"}, "no scope": {"scope": nil},
		"end": {"exp": time.Now().Unix() + 900}, "id": {"jti": "id-2"},
	} {
		token := c.token(t, changes)
		for range 3 {
			forwarded(t, f, c, token) // cached
		}
		got := forwarded(t, f, c, token).Header.Get("Authorization")
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have one internal token", name, other)
		}
		seen[got] = name
	}
}

// A client has a quarter of the cache. The same client id at another issuer is another client.
func TestInternalTokenShareOfAClient(t *testing.T) {
	i, err := newInternalTokens(Internal{Keys: newTestKeys(t), Issuer: gatewayIssuer, Audience: ordersAudience, CacheSize: 16})
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour)
	// A token is cached on its second use, so it is the same on the third.
	cached := func(issuer, client, id string) bool {
		var last, made string
		for range 3 {
			var e *forwardError
			last = made
			if made, e = i.of(t.Context(), &bearer.Token{Issuer: issuer, ClientID: client, ID: id, ExpiresAt: expires}); e != nil {
				t.Fatal(e.cause)
			}
		}
		return last == made
	}
	greedy := 0
	for n := range 20 {
		if cached("https://a.example", "app", strconv.Itoa(n)) {
			greedy++
		}
	}
	if greedy != 4 {
		t.Errorf("one client has %d of 16 slots, want a quarter", greedy)
	}
	for _, other := range [][2]string{{"https://b.example", "app"}, {"https://a.example", "app2"}} {
		if !cached(other[0], other[1], "1") {
			t.Errorf("no slot is left for %s of %s", other[1], other[0])
		}
	}
}

// An emergency rotation ends the use of tokens that the dropped key signed, at once.
func TestInternalTokenRotatesWithItsKeyring(t *testing.T) {
	c := newCallers(t)
	keys, err := jwks.Open(t.Context(), jwks.File(filepath.Join(t.TempDir(), "keys.json")), jwks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	guard, err := bearer.New(bearer.Config{Issuer: gatewayIssuer, Audience: ordersAudience, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	accepted := func(out *http.Request) bool {
		w := httptest.NewRecorder()
		guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, out)
		return w.Code == http.StatusOK
	}
	f := newTestForwarder(t, ForwardConfig{Internal: newInternal(keys)})
	token := c.token(t, nil)
	for range 3 {
		if !accepted(forwarded(t, f, c, token)) {
			t.Fatal("the upstream refuses the token")
		}
	}
	old := forwarded(t, f, c, token)
	if err := keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if accepted(old) {
		t.Fatal("a token of the dropped key is accepted")
	}
	if !accepted(forwarded(t, f, c, token)) {
		t.Error("after the rotation a token of the dropped key is sent")
	}
}

// Requests for one token that arrive together share one signature. The end of the request
// that signs does not fail the others.
func TestInternalTokenIsSignedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, signer := newCountingKeys(t)
		signer.gate = make(chan struct{})
		f := newTestForwarder(t, ForwardConfig{Internal: newInternal(keys)})
		caller := &bearer.Token{Issuer: callerIssuer, ClientID: "app1", ID: "id-1", ExpiresAt: time.Now().Add(time.Hour)}
		first, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		var failed atomic.Int64
		ask := func(ctx context.Context) {
			if _, e := f.internal.of(ctx, caller); e != nil {
				failed.Add(1)
			}
		}
		work.Go(func() { ask(first) })
		synctest.Wait()
		for range 50 {
			work.Go(func() { ask(t.Context()) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(signer.gate)
		work.Wait()
		if n := failed.Load(); n > 0 {
			t.Errorf("%d requests failed", n)
		}
		if n := signer.signed.Load(); n != 1 {
			t.Errorf("%d signatures, want 1", n)
		}
	})
}

// If the keyring cannot sign, the answer is 503 and the upstream is not called.
func TestInternalTokenCannotBeSigned(t *testing.T) {
	c := newCallers(t)
	keys, signer := newCountingKeys(t)
	f := newTestForwarder(t, ForwardConfig{Internal: newInternal(keys)})
	signer.fail.Store(true)
	upstream := newRawUpstream(t)
	for _, face := range faces {
		s := serve(t, newFront(t, face, c, f, upstream.url(), nil))
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.token(t, nil))
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") != "5" {
			t.Errorf("%s: status %d, Retry-After %q", face, answer.StatusCode, answer.Header.Get("Retry-After"))
		}
	}
	if seen := upstream.take(); len(seen) > 0 {
		t.Errorf("the upstream sees %q", seen)
	}
}

// An Internal that cannot work is refused, and the error names the field.
func TestInternalIsChecked(t *testing.T) {
	good := func() Internal { return *newInternal(newTestKeys(t)) }
	for field, change := range map[string]func(*Internal){
		"Internal.Keys":      func(i *Internal) { i.Keys = nil },
		"Internal.Issuer":    func(i *Internal) { i.Issuer = "" },
		"Internal.Audience":  func(i *Internal) { i.Audience = "" },
		"Internal.Lifetime":  func(i *Internal) { i.Lifetime = time.Second },
		"Internal.Claims":    func(i *Internal) { i.Claims = []string{"client_id"} },
		"Internal.CacheSize": func(i *Internal) { i.CacheSize = 1 << 40 },
	} {
		i := good()
		change(&i)
		if _, err := NewForwarder(ForwardConfig{Internal: &i}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
}
