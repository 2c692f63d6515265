package jwks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// With a store's clock, a replica whose clock is off writes nothing. The others do
// not notice it.
func TestClockOffFromTheStores(t *testing.T) {
	for _, off := range []time.Duration{2 * time.Hour, -2 * time.Hour, 40 * day, -40 * day} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var heard listener
				store := timedShelf{shelf: &shelf{}}
				if r, err := openSkewed(t.Context(), store, Policy{}, off); r != nil || err == nil || !strings.Contains(err.Error(), "clock") {
					t.Errorf("it made the first keys: %v", err)
				}
				healthy := opened(t, store, Policy{})
				wrong := opened(t, store, Policy{Observe: heard.observe})
				kid := signedBy(t, healthy)
				signedBy(t, wrong)
				time.Sleep(5 * time.Minute)
				synctest.Wait() // both poll at this moment
				kids, before := publishedBy(t, healthy), store.get()
				setClock(wrong, off)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.ClockOff {
					t.Errorf("%+v", e)
				}
				if err := wrong.Ready(t.Context()); err == nil || errors.Is(err, ErrUnavailable) {
					t.Errorf("Ready: %v", err)
				}
				started := sure(openSkewed(t.Context(), store, Policy{}, off))
				defer started.Close()
				for _, r := range []*Keyring{healthy, wrong, started} {
					if got := signedBy(t, r); got != kid {
						t.Errorf("%s signs", got)
					}
					if got := publishedBy(t, r); len(got) != len(kids) {
						t.Errorf("%q are published", got)
					}
				}
				if string(store.get()) != string(before) {
					t.Error("the replica whose clock is off has written")
				}
				if err := healthy.Ready(t.Context()); err != nil {
					t.Error(err)
				}
				setClock(wrong, 0)
				time.Sleep(time.Minute)
				synctest.Wait()
				if e := heard.one(t); e.Reason != "" {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}

func TestStoreWithoutAClock(t *testing.T) {
	r := opened(t, sure(Sealed(timedShelf{&shelf{}, fmt.Errorf("SQLite: %w", errors.ErrUnsupported)}, "issuer", kek(1))), Policy{})
	if err := r.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// Without a store's clock, a jump of the wall clock moves nothing on until it has
// run steadily for a day. A jump that is undone before that has no effect.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{2 * time.Hour, -2 * time.Hour, 40 * day, -40 * day} {
		for _, healed := range []bool{true, false} {
			t.Run(fmt.Sprint(off, healed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var heard listener
					store := &shelf{}
					r := opened(t, store, Policy{Observe: heard.observe, Poll: slowPoll})
					kid := signedBy(t, r)
					time.Sleep(2 * time.Hour)
					synctest.Wait()
					kids := publishedBy(t, r)
					setClock(r, off)
					time.Sleep(time.Hour)
					synctest.Wait()
					if got := signedBy(t, r); got != kid || len(publishedBy(t, r)) != len(kids) {
						t.Errorf("%s signs, %q are published", got, publishedBy(t, r))
					}
					if stored := sure(readState(store.get(), nil)); stored.Written.After(time.Now()) {
						t.Errorf("written in the future: %v", stored.Written)
					}
					if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.ClockOff {
						t.Errorf("%+v", e)
					}
					if err := r.Ready(t.Context()); (err == nil) != (off == 2*time.Hour) || errors.Is(err, ErrUnavailable) {
						t.Errorf("Ready: %v", err) // a jump of two hours is no problem for any key
					}
					if p := r.Status().Problems; len(p) != 1 || p[0].Reason != event.ClockOff {
						t.Errorf("%+v", p)
					}
					if healed {
						setClock(r, 0)
						time.Sleep(slowPoll)
						synctest.Wait()
						if e := heard.one(t); e.Reason != "" {
							t.Errorf("%+v", e)
						}
						fresh := sure(Open(t.Context(), store, Policy{})) // a restart
						defer fresh.Close()
						if got := signedBy(t, fresh); got != kid {
							t.Errorf("after a restart %s signs", got)
						}
						return
					}
					time.Sleep(25 * time.Hour)
					synctest.Wait()
					if err := r.Ready(t.Context()); err != nil {
						t.Errorf("a day later: %v", err)
					}
					if got := signedBy(t, r); off > 30*day && got == kid || off < 30*day && got != kid {
						t.Errorf("a day later %s signs", got)
					}
					if _, err := r.Key(t.Context(), kid, ""); err != nil {
						t.Errorf("the key that signed until now is gone: %v", err)
					}
					rotates(t, r)
				})
			})
		}
	}
}

// A replica that starts without a store's clock, long after the last write, cannot
// know whether the machine was off or its clock is wrong. It signs at once. A wrong
// clock destroys nothing, and once it is set right the replica is ready again. If the
// clock is right, the timetable follows it after a day.
func TestStartWithTheClockAhead(t *testing.T) {
	t.Parallel()
	for _, wrong := range []bool{true, false} {
		for _, off := range []time.Duration{40 * day, 400 * day} {
			t.Run(fmt.Sprint(wrong, off), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var heard listener
					store := &shelf{}
					before := sure(Open(t.Context(), store, Policy{Poll: slowPoll}))
					kid := signedBy(t, before)
					time.Sleep(20 * day)
					kids := publishedBy(t, before)
					before.Close()
					time.Sleep(time.Hour)
					if !wrong {
						time.Sleep(off)
						off = 0
					}
					r := sure(openSkewed(t.Context(), store, sure(Policy{Observe: heard.observe, Poll: slowPoll}.withDefaults()), off))
					defer r.Close()
					for begun := time.Now(); time.Since(begun) < 10*time.Hour; time.Sleep(time.Hour) {
						if got := signedBy(t, r); got != kid || !slices.Equal(publishedBy(t, r), kids) {
							t.Fatalf("%s signs, %q are published", got, publishedBy(t, r))
						}
					}
					if stored := sure(readState(store.get(), nil)); stored.Written.After(time.Now()) {
						t.Errorf("written in the future: %v", stored.Written)
					}
					synctest.Wait()
					if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.ClockOff {
						t.Errorf("%+v", e)
					}
					if err := r.Ready(t.Context()); err == nil || errors.Is(err, ErrUnavailable) {
						t.Errorf("Ready: %v", err)
					}
					if wrong {
						setClock(r, 0)
						time.Sleep(slowPoll)
						if got := signedBy(t, r); got != kid {
							t.Errorf("%s signs", got)
						}
						if s := r.Status(); time.Until(s.NextSigns).Round(day) != 10*day {
							t.Errorf("the next key signs at %v", s.NextSigns)
						}
					} else {
						time.Sleep(15 * time.Hour)
					}
					synctest.Wait()
					if _, err := r.Key(t.Context(), kid, ""); err != nil {
						t.Errorf("the key that signed until now: %v", err)
					}
					if e := heard.take(); len(e) == 0 || e[0].Reason != "" {
						t.Errorf("%+v", e)
					}
					rotates(t, r)
				})
			})
		}
	}
}

// Ready reports no error after daily restarts, nor after a weekend in which the machine
// is off. Keys rotate in spite of daily restarts.
func TestDailyRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		signers := map[string]bool{}
		for range 100 {
			r := sure(Open(t.Context(), store, Policy{Poll: slowPoll}))
			for range 5 {
				signers[signedBy(t, r)] = true
				time.Sleep(4 * time.Hour)
			}
			if err := r.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			r.Close()
			time.Sleep(4 * time.Hour)
		}
		if len(signers) != 4 {
			t.Errorf("%d keys signed in 100 days", len(signers))
		}
		time.Sleep(60 * time.Hour)
		r := opened(t, store, Policy{})
		signedBy(t, r)
		if err := r.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A replica whose clock is ahead starts and writes a state from the future. The others
// keep their own state and write it back. A Rotate in the newer state is kept.
func TestStateFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		r := opened(t, store, Policy{Observe: heard.observe})
		kid := signedBy(t, r)
		time.Sleep(time.Hour)
		kids := publishedBy(t, r)
		ahead := sure(openSkewed(t.Context(), store, r.Policy(), 20*time.Hour)) // with more it would not trust its clock
		defer ahead.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := signedBy(t, r); got != kid || !slices.Equal(publishedBy(t, r), kids) {
			t.Errorf("a wrong clock elsewhere changed the keys here: %s signs", got)
		}
		if e := heard.take(); len(e) == 0 || e[0].Reason != event.ClockOff {
			t.Errorf("%+v", e)
		}
		if got := publishedBy(t, ahead); !slices.Equal(got, kids) {
			t.Errorf("the replica that is ahead publishes %q", got)
		}
		fresh := opened(t, store, Policy{})
		if got := signedBy(t, fresh); got != kid {
			t.Errorf("a replica that starts signs with %s", got)
		}
		generation := r.Status().Generation
		time.Sleep(time.Hour)
		if got := r.Status().Generation; got > generation+2 {
			t.Errorf("they overwrite each other: %d generations in an hour", got-generation)
		}
		if p := ahead.Status().Problems; len(p) != 1 || p[0].Reason != event.ClockOff {
			t.Errorf("the replica that is ahead reports nothing: %+v", p)
		}
		if err := ahead.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := r.Key(t.Context(), kid, ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the dropped key: %v", err)
		}
		signedBy(t, r)
	})
}

// A replica that starts alone on a state from the future signs with a published key
// and reports it. That ends when the clock has run steadily for a day, at once with a
// store's clock, and by Adopt.
func TestStartOnAStateFromTheFuture(t *testing.T) {
	for _, end := range []string{"steady clock", "store's clock", "Adopt"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shelf := &shelf{}
				sure(openSkewed(t.Context(), shelf, sure(Policy{}.withDefaults()), 40*day)).Close()
				before := shelf.get()
				var heard listener
				store := KeyStore(shelf)
				if end == "store's clock" {
					store = timedShelf{shelf: shelf}
				}
				r := opened(t, store, Policy{Observe: heard.observe, Poll: slowPoll})
				kid := signedBy(t, r)
				if e := heard.one(t); e.Reason != event.ClockOff || !strings.Contains(e.Err.Error(), "Adopt") {
					t.Errorf("%+v", e)
				}
				if end != "store's clock" {
					if err := r.Ready(t.Context()); err == nil || errors.Is(err, ErrUnavailable) {
						t.Errorf("Ready: %v", err)
					}
					time.Sleep(5 * time.Minute)
					if string(shelf.get()) != string(before) {
						t.Error("the state was overwritten")
					}
				}
				switch end {
				case "Adopt":
					if err := r.Adopt(t.Context()); err != nil {
						t.Fatal(err)
					}
				case "steady clock":
					for range 25 {
						time.Sleep(time.Hour)
						if got := signedBy(t, r); got != kid {
							t.Fatalf("%s signs", got)
						}
					}
				}
				time.Sleep(slowPoll)
				if got := signedBy(t, r); got != kid {
					t.Errorf("%s signs", got)
				}
				if stored := sure(readState(shelf.get(), nil)); stored.Written.After(time.Now()) {
					t.Errorf("stored was written at %v", stored.Written)
				}
				rotates(t, r)
				if got := signedBy(t, r); got == kid {
					t.Error("the timetable does not move")
				}
			})
		})
	}
}

// While a machine sleeps the monotonic clock stops. What was read before the sleep is
// not used after it.
func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		r := opened(t, store, Policy{Observe: heard.observe})
		kid := signedBy(t, r)
		time.Sleep(time.Minute + time.Second)
		other := opened(t, store, Policy{})
		signedBy(t, other)
		if err := other.Rotate(t.Context()); err != nil { // while this machine sleeps
			t.Fatal(err)
		}
		other.Close()
		r.clock.skew.Store(int64(2 * time.Hour)) // it wakes up
		heard.take()
		for range 30 {
			if err := r.Ready(t.Context()); err != nil {
				t.Fatalf("Ready: %v", err)
			}
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		if e := heard.take(); len(e) != 3 || e[0].Reason != event.ClockOff || e[1].Op != event.OpRotateKey || e[2].Reason != "" {
			t.Errorf("%+v", e)
		}
		if _, err := r.Key(t.Context(), kid, ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the dropped key: %v", err)
		}
		store.fail(errors.New("no connection"))
		r.clock.skew.Store(int64(4 * time.Hour)) // and the next time without its store
		if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %v", err)
		}
		r.clock.skew.Store(int64(-4 * time.Hour)) // a clock that goes back makes the snapshot no younger
		time.Sleep(2 * time.Hour)
		if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %v", err)
		}
	})
}
