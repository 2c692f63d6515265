//go:build rehearsal

package outbound

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// TestCosts holds Token and RoundTrip to their time. It takes the best of many short
// rounds, so that other programs on the machine matter little.
func TestCosts(t *testing.T) {
	var at atomic.Pointer[time.Time]
	until := time.Now().Add(time.Hour)
	at.Store(&until)
	s := newSource(t, &server{}, nil)
	ctx := t.Context()
	res := &http.Response{StatusCode: http.StatusOK}
	base := roundTrip(func(*http.Request) (*http.Response, error) { return res, nil })
	transport, r := s.Transport(base), request()
	ended := 0
	best := bestOf(300,
		func() {
			if time.Until(*at.Load()) <= 0 {
				ended++
			}
		},
		func() {
			if _, err := s.Token(ctx); err != nil {
				ended++
			}
		},
		func() { _, _ = base.RoundTrip(r) },
		func() { _, _ = transport.RoundTrip(r) },
	)
	if ended > 0 {
		t.Fatal("the token has ended")
	}
	ratio := float64(best[1]) / float64(best[0])
	over := best[3] - best[2]
	t.Logf("load and until %v, Token %v (%.2f times); RoundTrip %v over the base", best[0], best[1], ratio, over)
	if ratio > 1.3 {
		t.Errorf("Token takes %.2f times as long as one load and time.Until", ratio)
	}
	if over > time.Microsecond {
		t.Errorf("RoundTrip takes %v over the base", over)
	}
}

// bestOf returns the shortest time of one call of each func, of so many rounds in turn.
func bestOf(rounds int, funcs ...func()) []time.Duration {
	const calls = 2000
	best := make([]time.Duration, len(funcs))
	for range rounds {
		for i, f := range funcs {
			began := time.Now()
			for range calls {
				f()
			}
			if took := time.Since(began) / calls; best[i] == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	return best
}
