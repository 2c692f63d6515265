//go:build rehearsal

package middleware

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// forgeries are requests with a stolen token and a proof that is forged in some way. They
// are as many as they can be made without a signature for each.
func forgeries(t *testing.T, h *holder) func(n int) *http.Request {
	t.Helper()
	good := h.proof(t, "GET", "/")
	var own []string // proofs of the thief's own keys
	for range 64 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, (&holder{Prover: newProver(t, key), token: h.token}).proof(t, "GET", "/"))
	}
	return func(n int) *http.Request {
		proof := own[n/8%len(own)]
		switch n % 8 {
		case 0: // a signature that does not fit, another one each time
			proof = good[:len(good)-20] + fmt.Sprintf("%020d", n)
		case 1, 2, 3:
			proof = fmt.Sprintf("%d.%s", n, good)
		case 4, 5:
			proof = h.token
		case 6:
			proof = fmt.Sprintf("%s%d", good[1:], n)
		}
		return h.request(t, "GET", "/", proof)
	}
}

// TestForgedProofFlood sends a million forged proofs with a stolen token, of which a quarter
// cost a signature check. Nothing is stored for
// them, so the client itself is still served from a memory of few proofs.
//
//	go test -tags rehearsal -run TestForgedProof -v ./middleware
func TestForgedProofFlood(t *testing.T) {
	flood := int64(aMillion())
	keys := newKeyring(t, ecKey)
	auth := benchGuard(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{Capacity: 64, PerKey: 64, MaxAge: 10 * time.Minute}}})
	guarded := auth.HandlerBound(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h := newHolder(t, keys)
	forged := forgeries(t, h)
	before := heap()
	var next atomic.Int64
	var refused atomic.Int64
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for n := next.Add(1); n <= flood; n = next.Add(1) {
				w := unread{header: http.Header{}}
				if guarded.ServeHTTP(&w, forged(int(n))); w.status == http.StatusUnauthorized {
					refused.Add(1)
				}
			}
		})
	}
	work.Wait()
	grown := heap() - before
	t.Logf("%d of %d refused; the heap has grown by %d KiB", refused.Load(), flood, grown>>10)
	if refused.Load() != flood || grown > 1<<20 {
		t.Error("a forged proof was accepted, or something was stored for it")
	}
	for n := range 64 { // the memory has room for all of them
		if w := send(guarded, h.request(t, "GET", "/")); w.Code != http.StatusOK {
			t.Fatalf("request %d of the client itself: status %d", n, w.Code)
		}
	}
}

// TestForgedProofLatency measures clients at work over connections: while forged proofs are
// sent to their route, and while the same requests are sent to a route that only answers 401.
func TestForgedProofLatency(t *testing.T) {
	const phase, rounds, senders, pause = 4 * time.Second, 5, 8, 8 * time.Millisecond
	keys := newKeyring(t, ecKey)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	auth := benchGuard(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience, Proofs: pop.Config{MaxAge: 10 * time.Minute}}})
	mux.Handle("/", auth.HandlerBound(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	h := newHolder(t, keys)
	forged := forgeries(t, h)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	over := func(r *http.Request, path string) int {
		out, err := http.NewRequestWithContext(t.Context(), r.Method, server.URL+path, http.NoBody)
		if err != nil {
			return 0
		}
		out.Header = r.Header
		w, err := transport.RoundTrip(out)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, w.Body)
		_ = w.Body.Close()
		return w.StatusCode
	}
	measure := func(path string) (p50, p99 time.Duration) {
		var flood sync.WaitGroup
		stop := make(chan struct{})
		for s := range senders {
			flood.Go(func() {
				ticks := time.NewTicker(pause)
				defer ticks.Stop()
				for n := s; ; n += senders {
					select {
					case <-stop:
						return
					case <-ticks.C:
						if status := over(forged(n), path); status != http.StatusUnauthorized {
							t.Errorf("a forged proof: status %d", status)
							return
						}
					}
				}
			})
		}
		var took []time.Duration
		for end := time.Now().Add(phase); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			r := h.request(t, "GET", "/")
			began := time.Now()
			if status := over(r, "/"); status != http.StatusOK {
				t.Errorf("a client at work: status %d", status)
			}
			took = append(took, time.Since(began))
		}
		close(stop)
		flood.Wait()
		slices.Sort(took)
		return took[len(took)/2], took[len(took)*99/100]
	}
	measure("/refuse") // connections and caches are warm from here on
	var ratios []float64
	for round := range rounds {
		base50, base99 := measure("/refuse")
		flood50, flood99 := measure("/")
		ratios = append(ratios, float64(flood99)/float64(base99))
		t.Logf("round %d: p50 and p99 of clients at work: beside refusals alone %v %v, beside forged proofs %v %v: p99 %.2f ×", round+1, base50, base99, flood50, flood99, ratios[round])
	}
	if slices.Sort(ratios); ratios[rounds/2] > 1.5 {
		t.Errorf("forged proofs make the p99 of clients at work %.2f × as long", ratios[rounds/2])
	}
}
