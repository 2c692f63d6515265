package issuer

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Cut-offs and changed records that were written before Sync count when it returns.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		if err := s.issuer.Sync(t.Context()); err != nil { // before any other use
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		g := s.wantToken(t, s.post(appForm))
		s.wantUnauthorized(t, s.post(secretOf("new")), errUnknownClient)
		c, err := store.Client(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		c.Disabled = true
		if _, err := store.Update(t.Context(), *c); err != nil {
			t.Fatal(err)
		}
		c.ID, c.Disabled = "new", false
		if _, err := store.Register(t.Context(), *c); err != nil {
			t.Fatal(err)
		}
		if err := s.issuer.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !s.revoked(t, g) {
			t.Error("the token of a client that was disabled is not revoked")
		}
		s.wantUnauthorized(t, s.post(appForm), errDisabled)
		s.wantToken(t, s.post(secretOf("new")))

		store.does(at("Changes", down))
		if err := s.issuer.Sync(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("%v", err)
		}
		store.does(at("Changes", hung))
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.issuer.Sync(ctx); err == nil || time.Since(begun) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// All callers of Sync share polls, and delay the follower by at most one poll.
func TestSyncFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		store.does(at("Changes", func(context.Context, string) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}))
		wantRevoked(t, s.issuer, "a", "app", time.Now(), false)
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		var group sync.WaitGroup
		for range 500 {
			group.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					if err := s.issuer.Sync(ctx); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 200*time.Millisecond {
						t.Errorf("Sync took %v, want the rest of a poll and one", took)
						return
					}
				}
			})
		}
		time.Sleep(5 * time.Second)
		for n := range 10 {
			put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: strconv.Itoa(n)})
			time.Sleep(300 * time.Millisecond)
			wantRevoked(t, s.issuer, strconv.Itoa(n), "app", time.Now(), true)
		}
		group.Wait()
		if got := store.polls.Load(); got > 110 {
			t.Errorf("%d polls in 10 s, of 100 ms each", got)
		}
	})
}
