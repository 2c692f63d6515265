package issuer

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// slowly makes queries for clients take a while, and counts how many run.
type slowly struct {
	mu            sync.Mutex
	running, most int
}

func (s *slowly) query(d time.Duration) func(context.Context, string) error {
	return at("Client", func(ctx context.Context, _ string) error {
		s.mu.Lock()
		s.running++
		s.most = max(s.most, s.running)
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.running--
			s.mu.Unlock()
		}()
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// A flood of unknown ids from one network, 1000 at once, runs eight queries at once, with
// secrets of either kind. Active clients are not delayed. Clients that are not cached wait
// for their network's turn.
func TestLookupFlood(t *testing.T) {
	t.Parallel()
	generated, _ := registry.GenerateSecret()
	for name, secret := range map[string]string{"generated": generated, "chosen": "wrong"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clients := []registry.Client{app()}
				for n := range 100 {
					c := app()
					c.ID = "cold" + strconv.Itoa(n)
					clients = append(clients, c)
				}
				store := &watched{Memory: newStore(t, clients...)}
				s := newService(t, Config{Store: store, MaxGrantRate: -1})
				s.wantToken(t, s.from(address(1), "app", appSecret))
				var load slowly
				store.does(load.query(5 * time.Millisecond))
				ctx, stop := context.WithCancel(t.Context())
				var flood sync.WaitGroup
				for n := range 1000 {
					flood.Go(func() {
						for k := 0; ctx.Err() == nil; k++ {
							s.from("203.0.113.9:1", "nobody"+strconv.Itoa(n)+"-"+strconv.Itoa(k), secret)
							time.Sleep(300 * time.Millisecond)
						}
					})
				}
				time.Sleep(10 * time.Millisecond)
				var good sync.WaitGroup
				for n := range 100 {
					good.Go(func() {
						begun := time.Now()
						if got := s.from(address(1000+n), "cold"+strconv.Itoa(n), appSecret).Code; got != 200 || time.Since(begun) > time.Second {
							t.Errorf("a client that is not cached: %d after %v", got, time.Since(begun))
						}
					})
				}
				for range 100 {
					begun := time.Now()
					if got := s.from(address(1), "app", appSecret).Code; got != 200 || time.Since(begun) > 0 {
						t.Errorf("an active client: %d after %v", got, time.Since(begun))
					}
					time.Sleep(10 * time.Millisecond)
				}
				good.Wait()
				stop()
				flood.Wait()
				if load.most != 8 {
					t.Errorf("%d queries at once, want 8", load.most)
				}
			})
		})
	}
}

// Unknown ids of one network are looked up a few hundred times, then once per second.
func TestLookupsOfANetworkEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		generated, _ := registry.GenerateSecret()
		for n := range 60 * 100 {
			s.from("203.0.113.9:1", "nobody"+strconv.Itoa(n), generated)
			time.Sleep(10 * time.Millisecond)
		}
		if got := store.reads.Load(); got > 30*networkFactor+61 {
			t.Errorf("%d queries in a minute", got)
		}
	})
}

// Queries for unknown ids that time out do not count as a failure of the store: a client
// that is not cached is still looked up. A query for a client that times out does.
func TestLookupTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cold := app()
		cold.ID = "cold"
		store := &watched{Memory: newStore(t, app(), cold)}
		store.does(at("Client", func(ctx context.Context, _ string) error {
			if id, _ := ctx.Value(slowID{}).(bool); id {
				<-ctx.Done()
			}
			return ctx.Err()
		}))
		s := newService(t, Config{Store: store})
		slow := func(id string) int {
			r := newForm("/token", secretOf(id))
			return s.send(r.WithContext(context.WithValue(r.Context(), slowID{}, true))).Code
		}
		if got := slow("nobody"); got != 503 {
			t.Errorf("status %d", got)
		}
		s.wantToken(t, s.post(secretOf("cold")))
		s.wantToken(t, s.post(appForm))
		time.Sleep(clientFresh)
		if got := slow("cold"); got != 200 { // stale
			t.Errorf("status %d", got)
		}
		s.wantUnavailable(t, s.post(secretOf("nobody else")))
		s.wantCause(t, errStoreAway)
	})
}

type slowID struct{}

// While unknown ids of a network fill its line, a wrong secret of a cached client gets the
// same answer as one more unknown id.
func TestLookupFullAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store, ImportedSecrets: true})
		s.wantToken(t, s.post(appForm))
		var load slowly
		store.does(load.query(time.Second))
		for n := range lookupSlots + lookupLine {
			go s.from("203.0.113.9:1", "nobody"+strconv.Itoa(n), appSecret)
		}
		synctest.Wait()
		other, _ := registry.GenerateSecret()
		for _, id := range []string{"app", "nobody"} {
			for _, secret := range []string{other, "chosen"} {
				w := s.from("203.0.113.9:1", id, secret)
				s.wantUnavailable(t, w)
				s.wantCause(t, errQueueFull)
			}
		}
		s.wantToken(t, s.from("203.0.113.9:1", "app", appSecret))
		s.wantUnauthorized(t, s.from("198.51.100.7:1", "app", other), errWrongSecret)
		time.Sleep(2 * storeTimeout)
	})
}

// While a network's line is full, chosen secrets get the same answer as unknown ids: none
// is compared, and none counts. At addresses of the client its right secret still works,
// also in that network.
func TestLookupFullComparesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app(), chosen(t, "guessed"), chosen(t, "free"))}
		s := newService(t, Config{Store: store, ImportedSecrets: true})
		const network = "203.0.113.9:1"
		for _, id := range []string{"guessed", "free"} {
			s.wantToken(t, s.from("198.51.100.7:1", id, "secret456"))
		}
		s.wantToken(t, s.from("203.0.113.80:1", "free", "secret456"))
		q := s.issuer.clients.lookups.queue
		release := hold(t, q, networkOf(network))
		hashes := s.slowHashesIn(func() {
			for n := range 200 {
				s.wantUnavailable(t, s.from(network, "guessed", "wrong"+strconv.Itoa(n)))
				s.wantUnavailable(t, s.from(network, "nobody", "wrong"+strconv.Itoa(n)))
			}
			s.wantUnavailable(t, s.from(network, "guessed", "secret456"))
			s.wantUnavailable(t, s.from(network, "nobody", "secret456"))
		})
		if hashes != 0 {
			t.Errorf("%d guesses were compared", hashes)
		}
		s.wantToken(t, s.from("198.51.100.7:1", "guessed", "secret456"))
		s.wantToken(t, s.from("203.0.113.80:1", "free", "secret456"))
		for n := range 200 { // a neighbour; 5 of these are compared
			s.wantUnavailable(t, s.from(network, "free", "wrong"+strconv.Itoa(n)))
		}
		s.wantUnavailable(t, s.from(network, "free", "secret456"))
		s.wantToken(t, s.from("203.0.113.80:1", "free", "secret456"))
		release()
		for n := range 30 {
			for _, id := range []string{"guessed", "free", "nobody"} {
				s.wantStatus(t, s.from(network, id, "wrong"+strconv.Itoa(n)), 401)
			}
		}
		for _, id := range []string{"guessed", "free", "nobody"} {
			s.wantStatus(t, s.from(network, id, "wrong"), 429)
		}
	})
}

// hold fills the queue with callers of one network, until release.
func hold(t *testing.T, q *fairQueue, network string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	q.mu.Lock()
	slots := q.free
	q.mu.Unlock()
	for range slots {
		if err := q.acquire(ctx, network, false); err != nil {
			t.Fatal(err)
		}
	}
	for range q.perLine {
		go func() { _ = q.acquire(ctx, network, false) }()
	}
	synctest.Wait()
	if !q.full(network) {
		t.Fatal("the line is not full")
	}
	return func() {
		cancel()
		synctest.Wait()
		for range slots {
			q.release()
		}
	}
}

// A caller whose context ends leaves the queue. A query that it has started keeps its slot
// until the query ends.
func TestLookupLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		var load slowly
		store.does(load.query(2 * time.Second))
		s := newService(t, Config{Store: store})
		ctx, leave := context.WithCancel(t.Context())
		for n := range 2 * lookupSlots {
			go s.send(newForm("/token", secretOf("nobody"+strconv.Itoa(n))).WithContext(ctx))
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		running := func() int {
			load.mu.Lock()
			defer load.mu.Unlock()
			return load.running
		}
		if waiting := s.issuer.Status().Lookups; waiting != 0 || running() != lookupSlots {
			t.Errorf("%d wait, %d queries run", waiting, running())
		}
		go s.post(secretOf("late"))
		synctest.Wait()
		if waiting := s.issuer.Status().Lookups; waiting != 1 || running() != lookupSlots {
			t.Errorf("with one more, %d wait, %d queries run", waiting, running())
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for n := range lookupSlots - 1 { // each slot is free again
			go s.post(secretOf("later" + strconv.Itoa(n)))
		}
		synctest.Wait()
		if waiting := s.issuer.Status().Lookups; waiting != 0 || running() != lookupSlots {
			t.Errorf("afterwards %d wait, %d queries run", waiting, running())
		}
		time.Sleep(2 * storeTimeout)
	})
}

// Recently active clients whose records have changed go ahead.
func TestLookupKnownFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		s.wantToken(t, s.post(appForm))
		var load slowly
		store.does(load.query(100 * time.Millisecond))
		for n := range 1000 { // each in a network of its own
			go s.from(address(n), "nobody"+strconv.Itoa(n), appSecret)
		}
		synctest.Wait()
		put(t, store.Memory, registry.Change{Kind: registry.ClientChanged, ClientID: "app"})
		if err := s.issuer.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if got := s.post(appForm).Code; got != 200 || time.Since(begun) > 300*time.Millisecond {
			t.Errorf("%d after %v", got, time.Since(begun))
		}
		time.Sleep(2 * storeTimeout)
	})
}
