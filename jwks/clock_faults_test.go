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
		synctest.Wait()
		setClock(r, 2*time.Hour) // as after the machine slept
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

// A clock that jumps in the middle of an update is reported once, and the replica
// writes nothing until its clock agrees with the store's.
func TestClockJumpsDuringAnUpdate(t *testing.T) {
	for _, off := range []time.Duration{2 * time.Hour, -2 * time.Hour, 40 * day, -40 * day} {
		for _, during := range []string{"Now", "Load"} {
			t.Run(off.String()+" during "+during, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var heard listener
					store := &jumpy{timedShelf: timedShelf{shelf: &shelf{}}}
					r := opened(t, store, Policy{Observe: heard.observe})
					kid := signedBy(t, r)
					time.Sleep(5*time.Minute + time.Second)
					synctest.Wait()
					before := store.get()
					jump := func() { setClock(r, off) }
					if during == "Now" {
						store.now.Store(&jump)
					} else {
						store.load.Store(&jump)
					}
					time.Sleep(5 * time.Minute)
					synctest.Wait()
					if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.ClockOff {
						t.Errorf("%+v", e)
					}
					if string(store.get()) != string(before) {
						t.Error("the replica whose clock is off has written")
					}
					setClock(r, 0)
					time.Sleep(time.Minute)
					synctest.Wait()
					if e := heard.one(t); e.Reason != "" {
						t.Errorf("%+v", e)
					}
					if got := signedBy(t, r); got != kid {
						t.Errorf("%s signs", got)
					}
				})
			})
		}
	}
}
