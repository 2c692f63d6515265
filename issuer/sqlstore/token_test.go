package sqlstore_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// contestant is a signing key and the least that a token costs with it: one signature by the
// standard library and one SHA-256 of the secret.
type contestant struct {
	alg    string
	signer crypto.Signer
	sign   func(message []byte) error
}

func contestants(tb testing.TB) []contestant {
	tb.Helper()
	ecKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return []contestant{
		{"ES256", ecKey, func(m []byte) error {
			sum := sha256.Sum256(m)
			_, _, err := ecdsa.Sign(rand.Reader, ecKey, sum[:])
			return err
		}},
		{"RS256", rsaKey, func(m []byte) error {
			sum := sha256.Sum256(m)
			_, err := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, sum[:])
			return err
		}},
		{"EdDSA", edKey, func(m []byte) error {
			ed25519.Sign(edKey, m)
			return nil
		}},
	}
}

var benchSecret, benchStored = registry.GenerateSecret()

func (c contestant) floor(tb testing.TB) {
	_ = sha256.Sum256([]byte(benchSecret))
	if err := c.sign(message); err != nil {
		tb.Fatal(err)
	}
}

var message = make([]byte, 400)

// unread is a ResponseWriter that keeps only the status.
type unread struct {
	header http.Header
	status int
}

func (u *unread) Header() http.Header         { return u.header }
func (u *unread) WriteHeader(status int)      { u.status = status }
func (u *unread) Write(p []byte) (int, error) { return len(p), nil }

// endpoint is POST /token, without a network.
type endpoint struct {
	app     *echo.Echo
	request *http.Request
	body    *strings.Reader
	answer  unread
}

const benchForm = "grant_type=client_credentials&scope=orders%3Aread+orders%3Awrite"

func newEndpoint(tb testing.TB, signer crypto.Signer, store registry.Store) *endpoint {
	tb.Helper()
	keys, err := jwks.NewKeyring(signer)
	if err != nil {
		tb.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{MaxGrantRate: -1, Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { iss.Close() })
	p := &endpoint{app: echo.New(), body: strings.NewReader(benchForm), answer: unread{header: http.Header{}}}
	iss.Mount(p.app)
	p.request = httptest.NewRequest(http.MethodPost, "/token", p.body)
	p.request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.request.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("app:"+benchSecret)))
	return p
}

func (p *endpoint) ask(tb testing.TB) {
	p.body.Reset(benchForm)
	p.app.ServeHTTP(&p.answer, p.request)
	if p.answer.status != http.StatusOK {
		tb.Fatalf("status %d", p.answer.status)
	}
}

func benchClient() registry.Client {
	return registry.Client{
		ID: "app", Secrets: []registry.Secret{benchStored},
		Audiences: []string{"https://orders.example.com"}, Scopes: []string{"orders:read", "orders:write"},
	}
}

func memory(tb testing.TB) registry.Store {
	tb.Helper()
	store, err := registry.NewMemory(benchClient())
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// counted is a database that counts how often a client is read.
type counted struct {
	*sqlstore.Store
	reads atomic.Int64
}

func (c *counted) Client(ctx context.Context, id string) (*registry.Client, error) {
	c.reads.Add(1)
	return c.Store.Client(ctx, id)
}

// BenchmarkToken is a whole request through Echo, with client_secret_basic, and
// beside it the floor. x-floor is the ratio of the two, run in pairs.
func BenchmarkToken(b *testing.B) {
	stores := map[string]*counted{}
	for name, kind := range map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"} {
		if name == "postgres" && os.Getenv("POSTGRES_URL") == "" {
			b.Log("POSTGRES_URL is not set: nothing is said about PostgreSQL")
			continue
		}
		store, _ := crowded(b, kind)
		if _, err := store.Register(b.Context(), benchClient()); err != nil {
			b.Fatal(name, err)
		}
		stores[name] = &counted{Store: store}
	}
	for _, c := range contestants(b) {
		b.Run(c.alg+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.floor(b)
			}
		})
		bench := func(name string, store registry.Store) {
			b.Run(c.alg+"/"+name, func(b *testing.B) {
				p := newEndpoint(b, c.signer, store)
				p.ask(b)
				ratio := paired(60, 40, func() { p.ask(b) }, func() { c.floor(b) })
				b.ReportAllocs()
				for b.Loop() {
					p.ask(b)
				}
				b.ReportMetric(ratio, "x-floor")
			})
		}
		bench("memory", memory(b))
		for name, store := range stores {
			begun := time.Now()
			bench(name, store)
			// Some reads are periodic: their number does not depend on the number of tokens.
			if most := 2 + int64(time.Since(begun)/(10*time.Second))*2; store.reads.Swap(0) > most {
				b.Errorf("%s: the client was read more than %d times", name, most)
			}
		}
	}
}

// paired runs two funcs in turn, in rounds, and gives the median of their ratios.
func paired(rounds, each int, f, g func()) float64 {
	ratios := make([]float64, rounds)
	timed := func(f func()) time.Duration {
		began := time.Now()
		for range each {
			f()
		}
		return time.Since(began)
	}
	for i := range ratios {
		if i%2 == 0 {
			first := timed(f)
			ratios[i] = float64(first) / float64(timed(g))
		} else {
			first := timed(g)
			ratios[i] = float64(timed(f)) / float64(first)
		}
	}
	slices.Sort(ratios)
	return ratios[rounds/2]
}

// A token allocates little over what its signature does. The bound is against
// growth; an allocation of a few bytes costs no measurable time.
func TestTokenAllocations(t *testing.T) {
	for _, c := range contestants(t) {
		p := newEndpoint(t, c.signer, memory(t))
		floor := testing.AllocsPerRun(50, func() { c.floor(t) })
		if n := testing.AllocsPerRun(50, func() { p.ask(t) }); n > floor+32 { // the race detector adds some
			t.Errorf("%s: %v allocations, %v of them the signature's", c.alg, n, floor)
		}
	}
}
