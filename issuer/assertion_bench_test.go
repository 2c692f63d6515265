package issuer

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// asker sends token requests with assertions, each a new one, without a network.
type asker struct {
	service    *service
	key        pair
	handler    http.Handler
	request    *http.Request
	body       *strings.Reader
	assertions []string // forms that were not sent yet
	answer     discarded
}

// discarded is a ResponseWriter that keeps the status alone.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }

func newAsker(tb testing.TB) *asker {
	tb.Helper()
	key := newPair(tb)
	s := newService(tb, Config{MaxGrantRate: -1, Observe: nil}, keyed(tb, "keyed", key))
	s.issuer.observe = nil
	a := &asker{service: s, key: key, handler: s.issuer.Handler(), body: strings.NewReader(""), answer: discarded{header: http.Header{}}}
	a.request = newForm("/token", "")
	a.request.Body = io.NopCloser(a.body)
	return a
}

// prepare makes assertions ahead, so that their signatures are not measured.
func (a *asker) prepare(tb testing.TB, n int) {
	tb.Helper()
	for len(a.assertions) < n {
		a.assertions = append(a.assertions, asserted(a.key.assert(tb, "keyed", nil)))
	}
}

func (a *asker) ask(tb testing.TB) {
	last := len(a.assertions) - 1
	if status := a.send(a.assertions[last]); status != http.StatusOK {
		tb.Fatalf("status %d", status)
	}
	a.assertions = a.assertions[:last]
}

// send sends a form in the one request, which costs nothing to make.
func (a *asker) send(form string) (status int) {
	a.body.Reset(form)
	a.request.ContentLength = int64(len(form))
	a.handler.ServeHTTP(&a.answer, a.request)
	return a.answer.status
}

// floor is the least that such a request costs: one signature is checked and one is made,
// each with one SHA-256.
type floor struct {
	key       pair
	message   []byte
	signature []byte
}

func newFloor(tb testing.TB) *floor {
	tb.Helper()
	f := &floor{key: newPair(tb), message: make([]byte, 400)}
	sum := sha256.Sum256(f.message)
	var err error
	if f.signature, err = ecdsa.SignASN1(rand.Reader, f.key.private, sum[:]); err != nil {
		tb.Fatal(err)
	}
	return f
}

func (f *floor) run(tb testing.TB) {
	sum := sha256.Sum256(f.message)
	if !ecdsa.VerifyASN1(&f.key.private.PublicKey, sum[:], f.signature) {
		tb.Fatal("not verified")
	}
	if _, err := ecdsa.SignASN1(rand.Reader, f.key.private, sum[:]); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkPrivateKeyJWT is a whole token request with an assertion, and beside it the
// floor. x-floor is the median of the ratios of the two, run in turn.
func BenchmarkPrivateKeyJWT(b *testing.B) {
	f := newFloor(b)
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.run(b)
		}
	})
	b.Run("token", func(b *testing.B) {
		a := newAsker(b)
		const rounds, each = 60, 20
		a.prepare(b, rounds*each)
		timed := func(run func(testing.TB)) time.Duration {
			began := time.Now()
			for range each {
				run(b)
			}
			return time.Since(began)
		}
		ratios := make([]float64, rounds)
		for n := range ratios {
			if n%2 == 0 {
				first := timed(a.ask)
				ratios[n] = float64(first) / float64(timed(f.run))
			} else {
				first := timed(f.run)
				ratios[n] = float64(timed(a.ask)) / float64(first)
			}
		}
		slices.Sort(ratios)
		b.ReportAllocs()
		for b.Loop() {
			if len(a.assertions) == 0 {
				b.StopTimer()
				a.prepare(b, 1000)
				b.StartTimer()
			}
			a.ask(b)
		}
		b.ReportMetric(ratios[rounds/2], "x-floor")
	})
	b.Run("forged", func(b *testing.B) {
		a := newAsker(b)
		forged := newPair(b).sign(b, a.key.header().text(b), assertionOf("keyed").with(claims{"exp": time.Now().Unix() + 300}).text(b))
		form := asserted(forged)
		b.ReportAllocs()
		for b.Loop() {
			if status := a.send(form); status != http.StatusUnauthorized {
				b.Fatalf("status %d", status)
			}
		}
	})
}

// A request with an assertion allocates little over what its two signatures do. The bound
// is against growth.
func TestAssertionAllocations(t *testing.T) {
	a, f := newAsker(t), newFloor(t)
	a.prepare(t, 110)
	a.ask(t)
	floor := testing.AllocsPerRun(50, func() { f.run(t) })
	if n := testing.AllocsPerRun(50, func() { a.ask(t) }); n > floor+40 { // the race detector adds some
		t.Errorf("%v allocations, %v of them of the signatures", n, floor)
	}
}
