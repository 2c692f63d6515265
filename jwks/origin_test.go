package jwks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const setURL = "https://auth.example.com/jwks.json"

// sure returns the value. An error means that the test itself is broken.
func sure[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// jwkPool has enough key pairs for all tests here. They share it, because making a pair
// takes long.
var jwkPool = sync.OnceValue(func() (pool [8]*ecdsa.PublicKey) {
	for i := range pool {
		pool[i] = &sure(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).PublicKey
	}
	return pool
})

// jwkOf is the JWK of the pool's key n, with the further members given.
func jwkOf(n int, members map[string]any) map[string]any {
	point := sure(jwkPool()[n].Bytes())
	key := map[string]any{
		"kty": "EC", "crv": "P-256",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]),
		"y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}
	maps.Copy(key, members)
	return key
}

func setOf(keys ...any) string {
	if keys == nil {
		keys = []any{}
	}
	return string(sure(json.Marshal(map[string]any{"keys": keys})))
}

// numbered is a set of the pool's keys with kid "k0", "k1"…
func numbered(numbers ...int) string {
	var keys []any
	for _, n := range numbers {
		keys = append(keys, jwkOf(n, map[string]any{"kid": fmt.Sprintf("k%d", n), "alg": "ES256"}))
	}
	return setOf(keys...)
}

// origin is an issuer in memory: what it answers can be changed, and it counts.
type origin struct {
	answer atomic.Pointer[http.HandlerFunc]
	down   atomic.Bool   // no connection
	delay  atomic.Int64  // before the answer
	hits   atomic.Uint64 // requests
}

func originOf(set string) *origin {
	o := &origin{}
	o.serve(set, "Cache-Control", "max-age=600")
	return o
}

func (o *origin) handle(h http.HandlerFunc) { o.answer.Store(&h) }

// serve answers 200 with the body and headers, given as name, value, name….
func (o *origin) serve(body string, header ...string) { o.status(http.StatusOK, body, header...) }

func (o *origin) status(code int, body string, header ...string) {
	o.handle(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	})
}

func (o *origin) RoundTrip(req *http.Request) (*http.Response, error) {
	o.hits.Add(1)
	if d := time.Duration(o.delay.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if o.down.Load() {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	(*o.answer.Load())(w, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	res := w.Result()
	res.Request = req
	return res, nil
}

func (o *origin) wantHits(t *testing.T, want uint64) {
	t.Helper()
	if got := o.hits.Load(); got != want {
		t.Fatalf("%d requests reached the issuer, want %d", got, want)
	}
}

// remoteOf is a Remote of an origin. Its tests run on the fake clock of a
// synctest bubble, which fails when a goroutine is left at its end.
func remoteOf(t *testing.T, set string, c RemoteConfig) (*origin, *Remote) {
	t.Helper()
	o := originOf(set)
	c.Client = &http.Client{Transport: o}
	r := NewRemote(setURL, c)
	t.Cleanup(func() { _ = r.Close() })
	return o, r
}

func mustKey(t *testing.T, r Source, kid string) *jose.Key {
	t.Helper()
	key, err := r.Key(t.Context(), kid, "")
	if err != nil {
		t.Fatalf("Key(%q): %v", kid, err)
	}
	if key == nil || key.ID() != kid {
		t.Fatalf("Key(%q) is %v", kid, key)
	}
	return key
}

// mustNotWait is mustKey for a call that must not wait.
func mustNotWait(t *testing.T, r *Remote, kid string) *jose.Key {
	t.Helper()
	start := time.Now()
	key := mustKey(t, r, kid)
	if waited := time.Since(start); waited != 0 {
		t.Fatalf("Key(%q) took %v", kid, waited)
	}
	return key
}

func wantErr(t *testing.T, r *Remote, kid string, want error) {
	t.Helper()
	key, err := r.Key(t.Context(), kid, "")
	if key != nil || !errors.Is(err, want) {
		t.Errorf("Key(%q) = %v, %v; want %v", kid, key, err, want)
	}
	other := ErrUnknownKey
	if errors.Is(want, ErrUnknownKey) {
		other = ErrUnavailable
	}
	if errors.Is(err, other) {
		t.Errorf("Key(%q): %v is %v as well", kid, err, other)
	}
}
