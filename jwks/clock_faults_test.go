package jwks

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// A state from the future shows in Ready even if this replica's own clock has moved by
// a harmless time.
func TestStateFromTheFutureAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		ahead := sure(openSkewed(t.Context(), store, Policy{}, 5*time.Hour))
		defer ahead.Close()
		r := sure(Open(t.Context(), store, Policy{}))
		defer r.Close()
		signedBy(t, r)
		time.Sleep(time.Hour)
		r.clock.skew.Store(int64(2 * time.Hour)) // as after the machine slept
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := r.Ready(t.Context()); !errors.Is(err, errFuture) {
			t.Errorf("Ready: %v", err)
		}
	})
}

// A failed read of the store does not end a problem of the clock.
func TestClockProblemDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		ahead := sure(openSkewed(t.Context(), store, Policy{}, 5*time.Hour))
		defer ahead.Close()
		r := sure(Open(t.Context(), store, Policy{Observe: heard.observe}))
		defer r.Close()
		signedBy(t, r)
		time.Sleep(time.Hour)
		since := r.Status().Problems[0].Since
		heard.take()
		store.fail(errors.New("the network is down"))
		time.Sleep(time.Minute)
		store.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, e := range heard.take() {
			if e.Reason == event.ClockOff {
				t.Errorf("the problem was reported again: %v", e.Err)
			}
		}
		if p := r.Status().Problems; len(p) != 1 || p[0].Reason != event.ClockOff || !p[0].Since.Equal(since) || !strings.Contains(p[0].Err.Error(), "future") {
			t.Errorf("%+v, since %v before", p, since)
		}
	})
}
