package issuer

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// A client gets MaxGrantRate tokens per second, with bursts of twice as many. Other clients
// are not affected, and refused requests cost nothing.
func TestGrantLimit(t *testing.T) {
	for rate, want := range map[int]int{0: 200, 5: 5} {
		synctest.Test(t, func(t *testing.T) {
			other := app()
			other.ID = "other"
			s := newService(t, Config{MaxGrantRate: rate}, app(), other)
			granted := func(n int) (granted int) {
				t.Helper()
				for range n {
					w := s.post(appForm)
					if w.Code == 200 {
						granted++
						continue
					}
					if w.Header().Get("Retry-After") != "1" {
						t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
					}
					w.Header().Del("Retry-After")
					s.wantError(t, w, 429, "temporarily_unavailable", "too many tokens for this client, try again in a moment")
					s.wantCause(t, errTooManyGrants)
					if e := s.lastEvent(t); e.Reason != event.TooManyGrants || e.ClientID != "app" || e.Claimed {
						t.Errorf("event %+v", e)
					}
				}
				return granted
			}
			for range want {
				s.wantStatus(t, s.post(appForm+"&scope=nothing"), 400) // costs nothing
			}
			if got := granted(3 * want); got != 2*want {
				t.Errorf("%d tokens at once, want %d", got, 2*want)
			}
			s.wantToken(t, s.post(secretOf("other")))
			time.Sleep(time.Second)
			if got := granted(3 * want); got != want {
				t.Errorf("%d tokens a second later, want %d", got, want)
			}
			time.Sleep(time.Hour)
			s.issuer.sweep()
			if got := s.issuer.grants.clients.len(); got != 0 {
				t.Errorf("%d clients are kept", got)
			}
			if got := granted(3 * want); got != 2*want {
				t.Errorf("%d tokens after an hour, want %d", got, 2*want)
			}
		})
	}
}

func TestGrantLimitOff(t *testing.T) {
	s := newService(t, Config{MaxGrantRate: -1})
	for range 450 { // the default allows 400 at once
		s.wantToken(t, s.post(appForm))
	}
}

// For the race detector. Concurrent requests get no more tokens than successive ones.
func TestGrantLimitConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrantLimit(10)
		var all sync.WaitGroup
		var granted atomic.Int64
		for worker := range 20 {
			all.Go(func() {
				for n := range 100 {
					if g.take("app") == nil {
						granted.Add(1)
					}
					if g.take(strconv.Itoa(worker*100+n)) != nil {
						t.Error("another client is refused")
					}
				}
			})
		}
		all.Wait()
		if granted.Load() != 20 {
			t.Errorf("%d tokens", granted.Load())
		}
	})
}
