package issuer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// While the feed cannot be read, known revocations count for MaxRevocationLag. After that
// Revoked returns an error until the feed can be read again.
func TestRevocationLag(t *testing.T) {
	for name, act := range map[string]func(context.Context, string) error{"down": down, "hung": hung} {
		for _, lag := range []time.Duration{0, 2 * time.Second, 5 * time.Minute} {
			t.Run(fmt.Sprint(name, lag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &watched{Memory: newStore(t, app())}
					i := newService(t, Config{Store: store, MaxRevocationLag: lag}).issuer
					if lag == 0 {
						lag = time.Minute
					}
					now := time.Now()
					revokeToken(t, i, "a", now.Add(time.Hour))
					wantRevoked(t, i, "a", "app", now, true)
					time.Sleep(time.Hour / 60)
					wantRevoked(t, i, "b", "app", now, false)

					store.does(at("Changes", act))
					for begun := time.Now(); time.Since(begun) < lag-followEvery; time.Sleep(250 * time.Millisecond) {
						wantRevoked(t, i, "a", "app", now, true)
						wantRevoked(t, i, "b", "app", now, false)
					}
					time.Sleep(followEvery + time.Nanosecond)
					cause := errDown
					if name == "hung" {
						cause = context.DeadlineExceeded
						time.Sleep(storeTimeout) // until the first poll has failed
					}
					for range 10 {
						wantLag(t, i, cause)
						time.Sleep(lag)
					}

					put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: "b"})
					store.does(nil)
					time.Sleep(storeTimeout + followEvery)
					wantRevoked(t, i, "b", "app", now, true)
					wantRevoked(t, i, "c", "app", now, false)
				})
			})
		}
	}
}

// MaxRevocationLag is exact to the nanosecond, even if the first poll took too long.
func TestRevocationLagIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lag = 2 * time.Second
		store := &watched{Memory: newStore(t, app())}
		i := newService(t, Config{Store: store, MaxRevocationLag: lag}).issuer
		now := time.Now()
		store.does(at("Changes", func(context.Context, string) error {
			time.Sleep(lag + time.Nanosecond)
			return nil
		}))
		wantLag(t, i, errStoreStalled)
		store.does(nil)
		time.Sleep(storeTimeout + followEvery)
		for range 5 { // it falls behind and catches up
			wantRevoked(t, i, "b", "app", now, false)
			store.does(at("Changes", down))
			time.Sleep(lag - i.Status().Lag)
			wantRevoked(t, i, "b", "app", now, false)
			time.Sleep(time.Nanosecond)
			wantLag(t, i, errDown)
			store.does(nil)
			time.Sleep(followEvery)
		}
	})
}

// Revocations from before the start of this process count from its first request. All first
// requests wait for the first poll, for storeTimeout at most.
func TestRevokedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		put(t, store, registry.Change{Kind: registry.TokenRevoked, TokenID: "a"})
		release := make(chan struct{})
		store.does(func(context.Context, string) error {
			<-release
			return nil
		})
		i := newService(t, Config{Store: store}).issuer
		if got := store.polls.Load(); got != 0 {
			t.Errorf("%d polls before the first use", got)
		}
		answers := make(chan bool, 1000)
		for range cap(answers) {
			go func() {
				revoked, err := i.Revoked(t.Context(), "a", "app", time.Now())
				answers <- revoked && err == nil
			}()
		}
		time.Sleep(storeTimeout / 2)
		if len(answers) != 0 {
			t.Errorf("%d requests did not wait", len(answers))
		}
		close(release)
		for range cap(answers) {
			if !<-answers {
				t.Fatal("not revoked")
			}
		}
		if got := store.polls.Load(); got > 4 {
			t.Errorf("%d polls for %d requests", got, cap(answers))
		}
	})

	// The same with a store that fails, or hangs, from the start.
	for name, act := range map[string]func(context.Context, string) error{"down": down, "hung": hung} {
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			store.does(act)
			i := newService(t, Config{Store: store}).issuer
			begun := time.Now()
			var asking sync.WaitGroup
			for range 100 {
				asking.Go(func() {
					if revoked, err := i.Revoked(t.Context(), "a", "app", begun); revoked || !errors.Is(err, errLag) {
						t.Errorf("%s: %v, %v", name, revoked, err)
					}
				})
			}
			asking.Wait()
			if took := time.Since(begun); took > storeTimeout {
				t.Errorf("%s: the last of them waited %v", name, took)
			}
			// A caller whose context ends does not wait longer.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun = time.Now()
			if _, err := i.Revoked(ctx, "a", "app", begun); err == nil || time.Since(begun) > time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(begun))
			}
			store.does(nil)
			time.Sleep(storeTimeout + followEvery)
			wantRevoked(t, i, "a", "app", begun, false)
		})
	}
}

// feedFunc is a store whose feed is a func.
type feedFunc struct {
	*registry.Memory
	changes func(since int64) (registry.Page, error)
}

func (f *feedFunc) Changes(_ context.Context, since int64) (registry.Page, error) {
	return f.changes(since)
}

// A feed to which new changes are written with every poll can be followed.
func TestFeedWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := 0
		store := &feedFunc{Memory: newStore(t, app())}
		store.changes = func(since int64) (registry.Page, error) {
			time.Sleep(10 * time.Millisecond)
			if polls++; polls > 100 {
				return registry.Page{}, errors.New("polled without end")
			}
			put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: "t" + strconv.FormatInt(since, 10)})
			return store.Memory.Changes(t.Context(), since)
		}
		i := newService(t, Config{Store: store, MaxRevocationLag: 2 * time.Second}).issuer
		for range 20 {
			wantRevoked(t, i, "a", "app", time.Now(), false)
			time.Sleep(time.Second)
		}
	})
}

// A feed that was set back, as by a restored backup, is read from its start. Known
// revocations stay.
func TestFeedSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		i := newService(t, Config{Store: store}).issuer
		now := time.Now()
		for _, jti := range []string{"a", "b", "c"} {
			put(t, store, registry.Change{Kind: registry.TokenRevoked, TokenID: jti})
		}
		wantRevoked(t, i, "c", "app", now, true)
		store.swap(newStore(t, app()))
		put(t, store, registry.Change{Kind: registry.TokenRevoked, TokenID: "d"})
		time.Sleep(2 * time.Second)
		wantRevoked(t, i, "c", "app", now, true)
		wantRevoked(t, i, "d", "app", now, true)
	})
}

// If the last entries of a feed have expired, its tail is read once, and tokens are
// numbered by its end. If such a feed is set back and then written to, that is noticed at
// the next write.
func TestFeedTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards the variables below
		var asked []int64
		kept := registry.Change{Sequence: 5, Kind: registry.ClientCutOff, ClientID: "x", ExpiresAt: time.Now().Add(24 * time.Hour)}
		feed, end := []registry.Change{kept}, int64(1000) // the entries between have expired
		store := &feedFunc{newStore(t, app()), func(since int64) (registry.Page, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, since)
			page := registry.Page{End: end}
			for _, c := range feed {
				if c.Sequence > since {
					page.Changes = append(page.Changes, c)
				}
			}
			return page, nil
		}}
		s := newService(t, Config{Store: store})
		g := s.wantToken(t, s.post(appForm))
		if got := parseTokenID(g.claims.ID).number; got != 1000 {
			t.Errorf("a token is numbered %d, and the feed ends at 1000", got)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		for n, since := range asked {
			if n > 0 && since < 999 {
				t.Errorf("poll %d reads from %d", n, since)
			}
		}
		written := len(asked)
		feed, end = append(feed, registry.Change{Sequence: 1001, Kind: registry.TokenRevoked, TokenID: "a", ExpiresAt: time.Now().Add(time.Hour)}), 1001
		mu.Unlock()
		time.Sleep(2 * time.Second)
		wantRevoked(t, s.issuer, "a", "app", time.Now(), true)
		mu.Lock()
		if len(asked) > written+5 || len(s.of(event.OpFollow)) > 0 {
			t.Errorf("%d polls in 2 s, events %+v", len(asked)-written, s.of(event.OpFollow))
		}
		end = 1002
		mu.Unlock()
		time.Sleep(2 * time.Second)
		mu.Lock()
		feed, end = []registry.Change{{Sequence: 1003, Kind: registry.TokenRevoked, TokenID: "b", ExpiresAt: time.Now().Add(time.Hour)}}, 1003 // a restored backup
		mu.Unlock()
		time.Sleep(2 * time.Second)
		wantRevoked(t, s.issuer, "b", "app", time.Now(), true)
		if got := s.of(event.OpFollow); len(got) != 1 || got[0].Reason != event.StateOlder {
			t.Errorf("%+v", got)
		}
	})
}

// A store whose pages contradict each other has failed. It is not polled without end.
func TestFeedContradicts(t *testing.T) {
	revoked := registry.Change{Sequence: 5, Kind: registry.TokenRevoked, TokenID: "b", ExpiresAt: time.Now().Add(24 * time.Hour)}
	for name, tt := range map[string]struct {
		changes func(since int64) registry.Page
		cause   error
	}{
		"set back twice":  {func(since int64) registry.Page { return registry.Page{End: since - 1} }, errSetBack},
		"empty, and more": {func(int64) registry.Page { return registry.Page{End: 10, More: true} }, errNoPage},
		"the same, and more": {func(int64) registry.Page {
			return registry.Page{Changes: []registry.Change{revoked}, End: 10, More: true}
		}, errNoPage},
		"negative from start": {func(int64) registry.Page { return registry.Page{End: -1} }, errSetBack},
	} {
		synctest.Test(t, func(t *testing.T) {
			polls := 0
			store := &feedFunc{newStore(t, app()), func(since int64) (registry.Page, error) {
				if polls++; polls > 1000 {
					t.Fatal("polled without end")
				}
				return tt.changes(since), nil
			}}
			i := newService(t, Config{Store: store}).issuer
			wantLag(t, i, tt.cause)
			if err := i.Sync(t.Context()); !errors.Is(err, tt.cause) {
				t.Errorf("%s: Sync: %v", name, err)
			}
		})
	}
}

// A change counts within 2 s even if the two polls after it hang, as after a silent
// failover, at any moment between two polls.
func TestFollowsWithinPromise(t *testing.T) {
	for n := range 13 {
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			i := newService(t, Config{Store: store}).issuer
			wantRevoked(t, i, "a", "app", time.Now(), false)
			time.Sleep(10*time.Second + time.Duration(n)*50*time.Millisecond)
			polls := store.polls.Load()
			store.does(at("Changes", func(ctx context.Context, _ string) error {
				if store.polls.Load() <= polls+2 {
					<-ctx.Done()
				}
				return ctx.Err()
			}))
			put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: "a"})
			time.Sleep(followPromise)
			if got := store.polls.Load() - polls; got < 3 {
				t.Errorf("%d polls in 2 s", got)
			}
			wantRevoked(t, i, "a", "app", time.Now(), true)
		})
	}
}

// A feed whose pages take longer than followTimeout is followed nevertheless, later.
func TestFollowsSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		i := newService(t, Config{Store: store}).issuer
		wantRevoked(t, i, "a", "app", time.Now(), false)
		store.does(at("Changes", func(ctx context.Context, _ string) error {
			select {
			case <-time.After(2 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
		put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: "a"})
		time.Sleep(10 * time.Second)
		for range 100 {
			wantRevoked(t, i, "a", "app", time.Now(), true)
			time.Sleep(time.Second)
		}
	})
}

// One event reports that the feed cannot be read, and one that it can be read again.
func TestFollowEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		wantRevoked(t, s.issuer, "a", "app", time.Now(), false)
		for range 2 {
			store.does(at("Changes", down))
			time.Sleep(10 * time.Second)
			store.does(nil)
			time.Sleep(10 * time.Second)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.events) != 4 {
			t.Fatalf("%+v", s.events)
		}
		for n, e := range s.events {
			failed := n%2 == 0
			if e.Op != event.OpFollow || failed != errors.Is(e.Err, errDown) || failed != (e.Reason == event.StoreUnavailable) {
				t.Errorf("event %d: %+v", n, e)
			}
		}
	})
}

// Nothing runs before the first use, and nothing after Close: synctest.Test does not end
// while a goroutine runs.
func TestClose(t *testing.T) {
	unused := func(t *testing.T) (*Issuer, *watched) {
		t.Helper()
		store := &watched{Memory: newStore(t, app())}
		i, err := New(Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: store, ImportedSecrets: true})
		if err != nil {
			t.Fatal(err)
		}
		return i, store
	}
	synctest.Test(t, func(t *testing.T) {
		_, store := unused(t)
		time.Sleep(time.Hour)
		if got := store.polls.Load(); got != 0 {
			t.Errorf("%d polls", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		i, _ := unused(t)
		for range 2 {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
		wantLag(t, i, errClosed) // nothing starts after Close
	})
	for name, use := range map[string]func(t *testing.T, s *service) error{
		"Revoked": func(t *testing.T, s *service) error {
			_, err := s.issuer.Revoked(t.Context(), "a", "app", time.Now())
			return err
		},
		"Token": func(_ *testing.T, s *service) error {
			if w := s.post(appForm); w.Code != 200 {
				return errors.New(w.Body.String())
			}
			return nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			s := newService(t, Config{Store: store})
			if err := use(t, s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(time.Minute)
			polls := store.polls.Load()
			if polls < 60 {
				t.Errorf("%s: %d polls in a minute", name, polls)
			}
			store.does(at("Changes", hung)) // Close does not wait for it
			time.Sleep(time.Second)
			begun := time.Now()
			var closing sync.WaitGroup
			for range 3 {
				closing.Go(func() {
					if err := s.issuer.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			closing.Wait()
			if took := time.Since(begun); took != 0 {
				t.Errorf("%s: Close took %v", name, took)
			}
			polls = store.polls.Load()
			time.Sleep(time.Minute)
			if got := store.polls.Load(); got != polls {
				t.Errorf("%s: %d polls after Close", name, got-polls)
			}
			wantLag(t, s.issuer, context.Canceled)
		})
	}
}
