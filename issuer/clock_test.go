package issuer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// asleep returns the time as it would be on a machine that has slept for d since then: by
// the wall clock, d more has passed; by the monotonic clock, it has not.
func asleep(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	wall := (*uint64)(unsafe.Pointer(&at))
	if *wall>>63 != 1 {
		t.Fatal("a time without a monotonic reading")
	}
	*wall -= uint64(d/time.Second) << 30 // the seconds: see time.Time
	return at
}

// On a machine that slept for 2 h, the feed counts as 2 h old, although the monotonic
// clock stopped. While the store is away the issuer answers 503. When the store is back,
// one poll is enough.
func TestSuspend(t *testing.T) { // not in synctest, where times have no monotonic reading
	store := &watched{Memory: newStore(t, app())}
	s := newService(t, Config{Store: store})
	s.wantToken(t, s.post(appForm))
	store.does(at("Changes", down))
	if err := s.issuer.Sync(t.Context()); !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	s.wantToken(t, s.post(appForm))
	current := asleep(t, *s.issuer.feed.current.Load(), 2*time.Hour)
	s.issuer.feed.current.Store(&current)
	if _, err := s.issuer.Revoked(t.Context(), "a", "app", time.Now()); !errors.Is(err, errLag) || !errors.Is(err, errDown) {
		t.Errorf("after the sleep: %v", err)
	}
	s.wantUnavailable(t, s.post(appForm))
	if got := s.issuer.Status(); got.Following || got.Lag < 2*time.Hour || !errors.Is(got.FollowError, errDown) || time.Since(got.FollowErrorSince) > time.Minute {
		t.Errorf("%+v", got)
	}
	if err := s.issuer.Ready(t.Context()); !errors.Is(err, errLag) {
		t.Errorf("ready: %v", err)
	}
	put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: "a"})
	store.does(nil)
	if err := s.issuer.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRevoked(t, s.issuer, "a", "app", time.Now(), true)
	s.wantToken(t, s.post(appForm))
	if err := s.issuer.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	if got := s.issuer.Status(); !got.Following || got.Lag > time.Minute || got.FollowError != nil || got.Sequence == 0 || got.CachedClients != 1 || got.Revocations != 1 {
		t.Errorf("%+v", got)
	}
}

// A record that was read before a sleep is read again, because an entry about its change
// may have expired meanwhile.
func TestSuspendedRecord(t *testing.T) {
	store := &watched{Memory: newStore(t, app())}
	s := newService(t, Config{Store: store})
	s.wantToken(t, s.post(appForm))
	cached, _ := s.issuer.clients.cached("app")
	older := *cached
	older.read = asleep(t, cached.read, 2*time.Hour)
	s.issuer.clients.clients.set("app", &older)
	read := store.reads.Load()
	s.wantToken(t, s.post(appForm))
	s.wantToken(t, s.post(appForm))
	if got := store.reads.Load() - read; got != 1 {
		t.Errorf("%d queries", got)
	}
}

// clocked is a store with a clock of its own.
type clocked struct {
	*watched
	behind atomic.Int64 // how far the store's clock is behind this machine's
}

func (c *clocked) Changes(ctx context.Context, since int64) (registry.Page, error) {
	page, err := c.watched.Changes(ctx, since)
	page.Now = time.Now().Add(-time.Duration(c.behind.Load())).Round(0)
	return page, err
}

// While this machine's clock differs from the store's, nothing is granted and nothing is
// introspected. Revocations still work. One event reports the beginning, and one the end.
func TestClockOff(t *testing.T) {
	for _, off := range []time.Duration{2 * time.Hour, -2 * time.Hour, 40 * 24 * time.Hour, -40 * 24 * time.Hour, registry.MaxClockSkew + time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			store := &clocked{watched: &watched{Memory: newStore(t, app(), guard("all", "*"))}}
			s := newService(t, Config{Store: store})
			g, kept := s.wantToken(t, s.post(appForm)), s.wantToken(t, s.post(appForm))
			store.behind.Store(int64(registry.MaxClockSkew))
			time.Sleep(time.Second)
			s.wantToken(t, s.post(appForm))
			if got := s.of(event.OpFollow); len(got) != 0 {
				t.Fatalf("%+v", got)
			}

			store.behind.Store(int64(off))
			time.Sleep(time.Minute)
			e := s.wantOne(t, event.OpFollow, event.ClockOff)
			s.wantUnavailable(t, s.post(appForm))
			if got := s.lastEvent(t); got.Reason != event.ClockOff {
				t.Errorf("%+v", got)
			}
			s.wantUnavailable(t, s.postTo("/introspect", asks("all", g.token)))
			s.wantBody(t, s.postTo("/revoke", about(g.token)), "{}")
			status := s.issuer.Status()
			if err := s.issuer.Ready(t.Context()); !errors.Is(err, errClockOff) || !errors.Is(err, jwks.ErrUnavailable) || !errors.Is(e.Err, errClockOff) || !errors.Is(status.ClockError, errClockOff) || status.ClockOffset != off {
				t.Errorf("%v, %v, %+v", err, e.Err, status)
			}
			if ahead := strings.Contains(e.Err.Error(), "ahead of"); ahead != (off > 0) {
				t.Errorf("off by %v: %v", off, e.Err)
			}

			store.behind.Store(0)
			time.Sleep(time.Second)
			s.wantOne(t, event.OpFollow, "")
			s.wantToken(t, s.post(appForm))
			if !s.revoked(t, g) || s.revoked(t, kept) {
				t.Error("not the token alone that was revoked while the clocks differed is revoked")
			}
			if err := s.issuer.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// With a clock that is ahead, a token that is still valid elsewhere looks expired. Its
// revocation is written nevertheless.
func TestRevokeByClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &clocked{watched: &watched{Memory: newStore(t, app())}}
		s := newService(t, Config{Store: store})
		g := s.wantToken(t, s.post(appForm))
		time.Sleep(2 * time.Hour) // this machine's clock runs ahead
		store.behind.Store(int64(2 * time.Hour))
		time.Sleep(time.Second)
		writes := store.writes.Load()
		s.wantBody(t, s.postTo("/revoke", about(g.token)), "{}")
		if got := store.writes.Load() - writes; got != 1 {
			t.Errorf("%d writes", got)
		}
	})
}

// If the wall clock jumps, the feed is read from its start again: entries that were read
// by the wrong clock may expire here too early.
func TestClockJumps(t *testing.T) {
	store := &watched{Memory: newStore(t, app())}
	put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: "a"})
	applied, reasons := 0, []event.Reason{}
	f := newFollower(store, time.Minute, func(registry.Change) { applied++ }, func(r event.Reason, _ error) { reasons = append(reasons, r) })
	defer f.close()
	poll := func() {
		t.Helper()
		if err := f.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	poll()
	poll()
	for n, jump := range []time.Duration{2 * time.Hour, -2 * time.Hour, 40 * 24 * time.Hour} {
		number := f.sequence.Load()
		f.clock.last = asleep(t, f.clock.last, jump)
		poll()
		poll()
		if applied != n+2 || len(reasons) != n+1 || reasons[n] != event.ClockOff || f.sequence.Load() != number {
			t.Errorf("after %v: applied %d times, reported %v", jump, applied, reasons)
		}
	}
	f.clock.last = asleep(t, f.clock.last, 30*time.Second)
	if poll(); len(reasons) != 3 {
		t.Errorf("a jump within MaxClockSkew is reported: %v", reasons)
	}
}
