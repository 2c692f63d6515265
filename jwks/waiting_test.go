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

// forgeries asks for n keys that nobody has, all at once, and counts the answers.
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
			o.delay.Store(int64(4 * time.Second))
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
			o.delay.Store(int64(4 * time.Second))
			var first sync.WaitGroup
			first.Go(func() { mustKey(t, r, "k1") })
			var f forgeries
			f.ask(t.Context(), t, r, 1000)
			wantErr(t, r, "k1", ErrUnavailable) // and not ErrUnknownKey: its token is good
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
			o.delay.Store(int64(4 * time.Second))
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
