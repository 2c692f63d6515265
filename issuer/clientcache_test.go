package issuer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// newCache returns a cache of clients, with a follower of the same store.
func newCache(t *testing.T, store registry.Store) *clientCache {
	t.Helper()
	feed := newFollower(store, time.Minute, func(registry.Change) {}, func(event.Reason, error) {})
	go feed.run(feed.life)
	t.Cleanup(feed.close)
	return newClientCache(store, feed, newLookups())
}

// An active client costs one query per 10 s, and no write. So does an unknown id.
func TestClientCacheWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store, FailedAttempts: -1})
		ask := func(reads int64) {
			t.Helper()
			s.wantToken(t, s.post(appForm))
			if got := store.reads.Load(); got != reads {
				t.Fatalf("%d reads, want %d", got, reads)
			}
		}
		for round := range int64(3) {
			ask(round + 1)
			for range 99 {
				time.Sleep(clientFresh / 100)
				ask(round + 1)
			}
			time.Sleep(clientFresh / 100)
		}
		store.reads.Store(0)
		for range 100 {
			s.wantUnauthorized(t, s.post(secretOf("nobody")), errUnknownClient)
		}
		if got := store.reads.Load(); got != 1 {
			t.Errorf("%d reads for an unknown id, want 1", got)
		}
		if got := store.writes.Load(); got != 0 {
			t.Errorf("%d writes", got)
		}
	})
}

// A thousand concurrent requests share one query, which goes on when the first of them
// leaves.
func TestClientCacheOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store, MaxGrantRate: -1})
		release := make(chan struct{})
		store.does(at("Client", func(ctx context.Context, _ string) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ctx.Err()
		}))
		first, leave := context.WithCancel(t.Context())
		left := make(chan int, 1)
		go func() { left <- s.send(newForm("/token", appForm).WithContext(first)).Code }()
		synctest.Wait() // it has started the query
		statuses := make(chan int, 1000)
		for range cap(statuses) {
			go func() { statuses <- s.post(appForm).Code }()
		}
		synctest.Wait()
		leave()
		if got := <-left; got != 503 {
			t.Errorf("the caller that left is answered %d", got)
		}
		synctest.Wait()
		if len(statuses) != 0 {
			t.Errorf("%d are answered before the query ends, the first with %d", len(statuses), <-statuses)
		}
		close(release)
		for range cap(statuses) {
			if got := <-statuses; got != 200 {
				t.Fatalf("status %d", got)
			}
		}
		if got := store.reads.Load(); got != 1 {
			t.Errorf("%d reads", got)
		}
	})
}

// While the store is away, a client whose record is cached gets tokens until
// MaxRevocationLag after the last poll, and for 5 minutes at most. All others get 503,
// never 401. When the store is back, everything works again.
func TestClientCacheOutage(t *testing.T) {
	t.Parallel()
	for lag, bound := range map[time.Duration]time.Duration{0: time.Minute, 2 * time.Second: 2 * time.Second, 10 * time.Minute: clientStale} {
		for name, act := range map[string]func(context.Context, string) error{"down": down, "hung": hung} {
			t.Run(fmt.Sprint(name, lag), func(t *testing.T) {
				t.Parallel()
				testOutage(t, lag, bound, act)
			})
		}
	}
}

func testOutage(t *testing.T, lag, bound time.Duration, act func(context.Context, string) error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cold := app()
		cold.ID = "cold"
		store := &watched{Memory: newStore(t, app(), cold)}
		s := newService(t, Config{Store: store, FailedAttempts: -1, MaxRevocationLag: lag})
		read := time.Now()
		s.wantToken(t, s.post(appForm))
		store.does(act)

		for time.Since(read) < bound-2*storeTimeout {
			s.wantToken(t, s.post(appForm))
			s.wantUnavailable(t, s.post(secretOf("nobody")))
			s.wantUnavailable(t, s.post(secretOf("cold")))
			if fresh := time.Since(read) <= followPromise; fresh {
				s.wantUnauthorized(t, s.post(appForm+"x"), errWrongSecret)
			} else { // the current record may have that secret
				s.wantUnavailable(t, s.post(appForm+"x"))
			}
			time.Sleep(max(700*time.Millisecond, bound/100))
		}
		for time.Since(read) < bound {
			asked := time.Now()
			if w := s.post(appForm); w.Code != 200 && time.Since(read) < bound {
				t.Fatalf("status %d after %v", w.Code, asked.Sub(read))
			} else if w.Code == 200 && time.Since(read) > bound {
				t.Fatalf("a token after %v", time.Since(read))
			}
			time.Sleep(min(50*time.Millisecond, max(1, time.Until(read.Add(bound)))))
		}
		time.Sleep(time.Nanosecond)
		for range 100 {
			s.wantUnavailable(t, s.post(appForm))
			s.wantUnavailable(t, s.postTo("/introspect", about("x")))
			time.Sleep(100 * time.Millisecond)
		}

		store.does(nil)
		time.Sleep(storeTimeout + followEvery)
		s.wantToken(t, s.post(appForm))
		s.wantToken(t, s.post(secretOf("cold")))
		s.wantUnauthorized(t, s.post(secretOf("nobody")), errUnknownClient)
	})
}

// While the store hangs, one request per second waits for it. All other requests are
// answered at once from cached records.
func TestClientCacheHungStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 10
		all := make([]registry.Client, clients)
		for n := range all {
			all[n] = app()
			all[n].ID = "c" + strconv.Itoa(n)
		}
		store := &watched{Memory: newStore(t, all...)}
		s := newService(t, Config{Store: store, MaxRevocationLag: 5 * time.Minute})
		for _, c := range all {
			s.wantToken(t, s.post(secretOf(c.ID)))
		}
		store.does(hung)
		time.Sleep(clientFresh)
		s.wantToken(t, s.post(secretOf("c0"))) // this one waits for the timeout
		var mu sync.Mutex
		waited := 0
		var asking sync.WaitGroup
		const seconds = 60
		for range seconds * 5 {
			for _, c := range all {
				asking.Go(func() {
					asked := time.Now()
					status := s.post(secretOf(c.ID)).Code
					took := time.Since(asked)
					mu.Lock()
					defer mu.Unlock()
					if status != 200 || took > storeTimeout {
						t.Errorf("status %d after %v", status, took)
					}
					if took > 0 {
						waited++
					}
				})
			}
			time.Sleep(200 * time.Millisecond)
		}
		asking.Wait()
		if waited < seconds/2 || waited > seconds+1 {
			t.Errorf("%d of %d requests waited in %d s, want one per second", waited, seconds*5*clients, seconds)
		}
	})
}

// A store that fails is called once per second, whatever the number of requests. After one
// answer it counts as working.
func TestClientCacheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		store.does(at("Client", down))
		for range 100 {
			s.wantUnavailable(t, s.post(appForm))
		}
		if got := store.reads.Load(); got != 1 {
			t.Errorf("%d reads within a moment of a failure", got)
		}
		store.does(nil)
		s.wantUnavailable(t, s.post(appForm))
		s.wantCause(t, errStoreAway)
		time.Sleep(storeRetry)
		for range 10 {
			s.wantToken(t, s.post(appForm))
		}
	})
}

// A change by another process counts here within 2 s, by the feed.
func TestClientCacheFollows(t *testing.T) {
	for name, entry := range map[string]registry.Change{
		"Put":     {},
		"change":  {Kind: registry.ClientChanged},
		"cut-off": {Kind: registry.ClientCutOff},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &watched{Memory: newStore(t, app())}
				s := newService(t, Config{Store: store})
				s.wantToken(t, s.post(appForm))
				s.wantUnauthorized(t, s.post(secretOf("new")), errUnknownClient)
				time.Sleep(time.Second)

				disabled, added := app(), app()
				disabled.Disabled, added.ID = true, "new"
				if entry.Kind != 0 {
					store.swap(newStore(t, disabled, added)) // changed, without an entry in the feed
				}
				for _, c := range []registry.Client{disabled, added} {
					if entry.Kind == 0 {
						if err := store.Put(c); err != nil {
							t.Fatal(err)
						}
						continue
					}
					entry.ClientID = c.ID
					put(t, store, entry)
				}
				s.wantToken(t, s.post(appForm)) // cached
				time.Sleep(2 * time.Second)
				s.wantUnauthorized(t, s.post(appForm), errDisabled)
				s.wantToken(t, s.post(secretOf("new")))
			})
		})
	}
}

// If a record changes while it is being read, the old record is not cached.
func TestClientCacheChangeWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newStore(t, app())
		read, release := make(chan struct{}), make(chan struct{})
		slow := false
		r := newCache(t, storeFunc(func(ctx context.Context, id string) (*registry.Client, error) {
			c, err := memory.Client(ctx, id)
			if slow {
				slow = false
				close(read)
				<-release
			}
			return c, err
		}))
		slow = true
		var early *registry.Client
		done := make(chan struct{})
		go func() {
			defer close(done)
			read, _ := r.client(t.Context(), "app", address(1))
			early = read.client
		}()
		<-read
		next := app()
		next.Name = "next"
		if err := memory.Put(next); err != nil {
			t.Fatal(err)
		}
		r.evict("app")

		// A request after the change does not join the query from before it.
		if c, err := r.client(t.Context(), "app", address(1)); err != nil || c.client.Name != "next" {
			t.Fatalf("%+v, %v", c, err)
		}
		close(release)
		<-done
		if early == nil || early.Name != "" {
			t.Errorf("the first caller got %+v", early)
		}
		if c, err := r.client(t.Context(), "app", address(1)); err != nil || c.client.Name != "next" {
			t.Errorf("the change is lost: %+v, %v", c, err)
		}
	})
}

// An eviction affects one client: records of others that are read meanwhile are cached.
func TestClientCacheEvictsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache *clientCache
		reads := 0
		cache = newCache(t, storeFunc(func(_ context.Context, id string) (*registry.Client, error) {
			reads++
			for range 100 {
				cache.evict("noisy")
			}
			return &registry.Client{ID: id}, nil
		}))
		for n := range 100 {
			for range 2 {
				if _, err := cache.client(t.Context(), strconv.Itoa(n), address(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if reads > 105 { // clients that share a count with the evicted one are read twice
			t.Errorf("%d reads of 100 clients", reads)
		}
		cache.evict("0")
		if _, ok := cache.cached("0"); ok {
			t.Error("the evicted client is cached")
		}
	})
}

// embedding is a type that embeds a Memory.
type embedding struct{ registry.Memory }

// Memory is a store like any other: clients are cached, and a Put counts within 2 s. That
// holds for its zero value, and for a type that embeds it.
func TestRegistryMemory(t *testing.T) {
	for name, store := range map[string]interface {
		registry.Store
		Put(c registry.Client) error
	}{"Memory": &registry.Memory{}, "embedded": &embedding{}} {
		synctest.Test(t, func(t *testing.T) {
			if err := store.Put(app()); err != nil {
				t.Fatal(err)
			}
			s := newService(t, Config{Store: store})
			if err := s.issuer.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.wantToken(t, s.post(appForm))
			s.wantUnauthorized(t, s.post(secretOf("new")), errUnknownClient)
			if got := s.issuer.Status().CachedClients; got != 1 {
				t.Errorf("%s: %d clients are cached", name, got)
			}
			time.Sleep(time.Second)
			c := app()
			c.Disabled = true
			if err := store.Put(c); err != nil {
				t.Fatal(err)
			}
			c.ID, c.Disabled = "new", false
			if err := store.Put(c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			s.wantUnauthorized(t, s.post(appForm), errDisabled)
			s.wantToken(t, s.post(secretOf("new")))
		})
	}
}

// A client that was removed from the store is refused, not served from the cache. A store
// that returns a client with another id has failed.
func TestRegistryAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		c := app()
		s := newService(t, Config{Store: storeFunc(func(context.Context, string) (*registry.Client, error) { return &c, err })})
		s.wantToken(t, s.post(appForm))
		time.Sleep(clientFresh)
		err = fmt.Errorf("store: %w", registry.ErrNotFound)
		s.wantUnauthorized(t, s.post(appForm), errUnknownClient)
		time.Sleep(clientFresh)
		err = errDown
		s.wantUnavailable(t, s.post(appForm)) // a removed record is not used while the store is away
		time.Sleep(clientFresh)
		err = nil
		s.wantUnavailable(t, s.post(secretOf("other")))
		s.wantCause(t, errWrongClient)
		s.wantToken(t, s.post(appForm)) // a fault of one record is not an outage
	})
}

// For the race detector: clients are replaced while tokens are granted.
func TestPutWhileGranting(t *testing.T) {
	m := newStore(t, app())
	s := newService(t, Config{Store: m})
	var both sync.WaitGroup
	both.Go(func() {
		for range 100 {
			if err := m.Put(app()); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for range 100 {
			s.wantStatus(t, s.post(appForm), 200)
			if err := s.issuer.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	both.Wait()
}

// Config.Claims gets the Metadata of the client.
func TestMetadataInGrant(t *testing.T) {
	c := app()
	c.Metadata = map[string]string{"tenant": "t1"}
	s := newService(t, Config{Claims: func(_ context.Context, g Grant) (map[string]any, error) {
		return map[string]any{"tenant": g.Client.Metadata["tenant"]}, nil
	}}, c)
	if g := s.wantToken(t, s.post(appForm)); !strings.Contains(g.payload, `"tenant":"t1"`) {
		t.Errorf("%s", g.payload)
	}
}
