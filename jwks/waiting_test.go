package jwks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// forgeries asks for unknown keys, all at once, and counts the answers.
type forgeries struct {
	unknown, unavailable atomic.Int64
	all                  sync.WaitGroup
}

func (f *forgeries) ask(ctx context.Context, t *testing.T, r *Remote, n int) {
	for i := range n {
		f.all.Go(func() {
			switch _, err := r.Key(ctx, fmt.Sprint("forged-", i), "ES256"); {
			case errors.Is(err, ErrUnavailable):
				f.unavailable.Add(1)
			case errors.Is(err, ErrUnknownKey):
				f.unknown.Add(1)
			case ctx.Err() == nil:
				t.Errorf("a forged key: %v", err)
			}
		})
	}
	synctest.Wait()
}

// TRAPS: 1000 random kids cause at most one extra fetch, and an exhausted limiter must
// not block known or newly rotated keys. (jwks-rsa-java#173)
func TestRemoteUnknownKeysThatWait(t *testing.T) {
	t.Run("are few", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			o.delay.Store(int64(longestWait / 2))
			var f forgeries
			f.ask(t.Context(), t, r, 1000)
			if f.unavailable.Load() != 1000-maxWaiting || f.unknown.Load() != 0 {
				t.Errorf("at once %d were answered unavailable and %d unknown", f.unavailable.Load(), f.unknown.Load())
			}
			mustNotWait(t, r, "k0")
			f.all.Wait()
			if f.unknown.Load() != maxWaiting {
				t.Errorf("after the fetch %d were answered unknown", f.unknown.Load())
			}
			o.wantHits(t, 2)
			f.ask(t.Context(), t, r, 1000) // nothing to wait for until the Cooldown ends
			if f.unknown.Load() != maxWaiting+1000 {
				t.Errorf("%d were answered unknown", f.unknown.Load())
			}
			o.wantHits(t, 2)
		})
	})
	t.Run("beside a new key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			o.serve(numbered(0, 1), "Cache-Control", "max-age=600")
			o.delay.Store(int64(longestWait / 2))
			var first sync.WaitGroup
			first.Go(func() { mustKey(t, r, "k1") })
			synctest.Wait()
			var f forgeries
			f.ask(t.Context(), t, r, 1000)
			wantErr(t, r, "k1", ErrUnavailable) // not ErrUnknownKey: its token is valid
			first.Wait()
			mustNotWait(t, r, "k1")
			f.all.Wait()
			o.wantHits(t, 2)
		})
	})
	t.Run("and leave", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			o.serve(numbered(0, 1), "Cache-Control", "max-age=600")
			o.delay.Store(int64(longestWait / 2))
			leaving, leave := context.WithCancel(t.Context())
			var f forgeries
			f.ask(leaving, t, r, maxWaiting)
			wantErr(t, r, "k1", ErrUnavailable)
			leave()
			f.all.Wait()
			mustKey(t, r, "k1")
		})
	})
	t.Run("while the set is stale", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			time.Sleep(time.Until(r.Status().ExpiresAt) + time.Minute)
			o.delay.Store(int64(4 * time.Second))
			var f forgeries
			f.ask(t.Context(), t, r, 1000)
			var known sync.WaitGroup
			for range 1000 { // they wait for the same fetch, and are not counted
				known.Go(func() { mustKey(t, r, "k0") })
			}
			known.Go(func() {
				if err := r.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			})
			known.Wait()
			f.all.Wait()
		})
	})
}

// askFrom asks for n unknown keys on behalf of a network.
func (f *forgeries) askFrom(t *testing.T, r *Remote, network string, n int) {
	f.ask(context.WithValue(t.Context(), NetworkKey{}, network), t, r, n)
}

// A network that floods takes 8 slots, however many are free. All networks together
// leave one for a network that has none.
func TestRemoteNetworksShareTheSlots(t *testing.T) {
	from := func(t *testing.T, network string) context.Context {
		return context.WithValue(t.Context(), NetworkKey{}, network)
	}
	t.Run("one floods", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			o.serve(numbered(0, 1), "Cache-Control", "max-age=600")
			o.delay.Store(int64(longestWait / 2))
			var f forgeries
			f.askFrom(t, r, "192.0.2.0/24", 1000)
			if f.unavailable.Load() != 1000-maxNetworkWaiting || r.Status().Waiting != maxNetworkWaiting {
				t.Errorf("%d were answered at once, %d wait", f.unavailable.Load(), r.Status().Waiting)
			}
			if key, err := r.Key(from(t, "198.51.100.0/24"), "k1", "ES256"); err != nil || key.ID() != "k1" {
				t.Errorf("a new key: %v", err)
			}
			f.all.Wait()
		})
	})
	t.Run("many flood", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			mustKey(t, r, "k0")
			o.serve(numbered(0, 1), "Cache-Control", "max-age=600")
			o.delay.Store(int64(longestWait / 2))
			var f forgeries
			for n := range 20 {
				f.askFrom(t, r, fmt.Sprintf("10.0.%d.0/24", n), 100)
			}
			f.ask(t.Context(), t, r, 100) // of an unknown network
			var good sync.WaitGroup
			for n := range 10 {
				good.Go(func() {
					if _, err := r.Key(from(t, fmt.Sprintf("198.51.%d.0/24", n)), "k1", "ES256"); err != nil {
						t.Errorf("a new key: %v", err)
					}
				})
			}
			synctest.Wait()
			if r.Status().Waiting != maxWaiting {
				t.Errorf("%d wait", r.Status().Waiting)
			}
			good.Wait()
			f.all.Wait()
			if all := f.unavailable.Load() + f.unknown.Load(); all != 2100 {
				t.Errorf("%d answers", all)
			}
		})
	})
	t.Run("the network is asked for when a call waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o, r := remoteOf(t, numbered(0), RemoteConfig{})
			ctx := &counting{Context: t.Context()}
			ask := func(kid string, want int) {
				t.Helper()
				if _, _ = r.Key(ctx, kid, "ES256"); ctx.asked != want {
					t.Errorf("%s: asked %d times, want %d", kid, ctx.asked, want)
				}
			}
			ask("k0", 1)
			ask("k0", 1)
			ask("forged", 2)
			ask("forged", 2) // within the Cooldown
			o.wantHits(t, 2)
		})
	})
}

// counting counts how often the network is read from the context.
type counting struct {
	context.Context
	asked int
}

func (c *counting) Value(key any) any {
	if key == (NetworkKey{}) {
		c.asked++
		return "192.0.2.0/24"
	}
	return c.Context.Value(key)
}

// A call for an unknown key waits at most a second for a fetch that hangs. Later calls
// do not wait.
func TestRemoteUnknownKeysOfASlowSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := remoteOf(t, numbered(0), RemoteConfig{})
		mustKey(t, r, "k0")
		o.serve(numbered(0, 1), "Cache-Control", "max-age=600")
		o.delay.Store(int64(4 * time.Second))
		start := time.Now()
		for i := range 300 {
			asked := time.Now()
			wantErr(t, r, fmt.Sprint("forged", i), ErrUnavailable)
			if end := start.Add(longestWait); time.Now().After(end) && !time.Now().Equal(asked) {
				t.Fatalf("forgery %d waited %v", i, time.Since(asked))
			}
			mustNotWait(t, r, "k0")
		}
		if time.Since(start) != longestWait || r.Status().Waiting != 0 {
			t.Errorf("took %v, %d wait", time.Since(start), r.Status().Waiting)
		}
		time.Sleep(4 * time.Second) // the fetch has ended
		mustNotWait(t, r, "k1")
		o.wantHits(t, 2)
	})
}
