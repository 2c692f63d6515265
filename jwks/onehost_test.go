package jwks

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The clock of the host of a database and of the issuer jumps for a minute. They
// agree, and no key is dropped.
func TestClockOfOneHostJumps(t *testing.T) {
	for _, off := range []time.Duration{40 * day, -40 * day, 2 * time.Hour, -2 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := hostShelf{&shelf{}, &atomic.Int64{}}
				r := opened(t, store, Policy{})
				kid := signedBy(t, r)
				time.Sleep(5 * time.Minute)
				kids := publishedBy(t, r)
				store.skew.Store(int64(off))
				setClock(r, off)
				time.Sleep(time.Minute)
				if got := signedBy(t, r); got != kid || !slices.Equal(publishedBy(t, r), kids) {
					t.Errorf("%s signs, %q are published", got, publishedBy(t, r))
				}
				if err := r.Ready(t.Context()); err == nil && off < 0 {
					t.Error("Ready does not report it")
				}
				store.skew.Store(0)
				setClock(r, 0)
				time.Sleep(5 * time.Minute)
				if got := signedBy(t, r); got != kid || !slices.Equal(publishedBy(t, r), kids) {
					t.Errorf("%s signs, %q are published", got, publishedBy(t, r))
				}
				if err := r.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The clock is put right by 40 days and stays so, with and without a store's clock.
// The timetable follows, and a key that has signed is retained from when it last did,
// whatever the times in the store say.
func TestClockPutRightRetainsKeys(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		for _, before := range []time.Duration{2 * time.Hour, 30*day - 5*time.Minute, 30 * day, 30*day + 10*time.Minute, 60*day + 23*time.Hour} {
			t.Run(fmt.Sprint(own, before), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					under := hostShelf{&shelf{}, &atomic.Int64{}}
					under.skew.Store(int64(-40 * day))
					var store KeyStore = under.shelf
					if own {
						store = under
					}
					r := sure(openSkewed(t.Context(), store, Policy{Poll: slowPoll}, -40*day))
					defer r.Close()
					last := map[string]time.Time{}
					watch := func() {
						t.Helper()
						last[signedBy(t, r)] = time.Now()
						for kid, at := range last {
							_, err := r.Key(t.Context(), kid, "")
							if !errors.Is(err, ErrUnknownKey) {
								continue
							}
							if time.Since(at) < r.Policy().Retain {
								t.Fatalf("a key that signed %v ago is gone", time.Since(at))
							}
							delete(last, kid)
						}
					}
					watch()
					for left := before; left > 0; left -= 4 * time.Hour {
						time.Sleep(min(4*time.Hour, left))
						watch()
					}
					setClock(r, 0)
					under.skew.Store(0)
					for range 6 * 54 {
						time.Sleep(10 * time.Minute)
						watch()
					}
					if err := r.Ready(t.Context()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}
