package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// hashing makes each slow hash take that long.
func (s *service) hashing(d time.Duration) {
	s.issuer.secrets.slow.matches = func(stored *registry.Secret, plain string) bool {
		time.Sleep(d)
		return s.compared.watch(stored, plain)
	}
}

// leaving sends credentials, and leaves after d if there is no answer.
func (s *service) leaving(d time.Duration, address, id, secret string) *httptest.ResponseRecorder {
	ctx, leave := context.WithTimeout(context.Background(), d)
	defer leave()
	r := newForm("/token", "grant_type=client_credentials", "Authorization", basic(id, secret)).WithContext(ctx)
	r.RemoteAddr = address
	return s.send(r)
}

// A guess costs an attempt even if its caller leaves before the hash has ended: the right
// secret of an active client would have been answered at once. A caller that leaves with
// the right secret costs nothing.
func TestGuessAborted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 30, chosen(t, "app"))
		s.hashing(30 * time.Millisecond)
		for range 10 {
			s.wantToken(t, s.from(address(1), "app", "secret456"))
		}
		hashes := s.slowHashesIn(func() {
			for n := range 200 {
				if w := s.leaving(5*time.Millisecond, address(2), "app", "wrong"+strconv.Itoa(n)); w.Code == 200 {
					t.Fatal("let in")
				}
			}
			if w := s.leaving(5*time.Millisecond, address(2), "app", "secret456"); w.Code == 200 {
				t.Error("after 200 guesses, the right secret is accepted")
			}
		})
		if hashes > 31 {
			t.Errorf("%d guesses were compared", hashes)
		}
		s.wantStatus(t, s.from(address(3), "app", "secret456"), 429)
		s.wantToken(t, s.from(address(1), "app", "secret456"))
		s.wantToken(t, s.leaving(5*time.Millisecond, address(1), "app", "secret456"))
	})
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 30, chosen(t, "app"))
		s.hashing(30 * time.Millisecond)
		s.wantToken(t, s.from(address(1), "app", "secret456"))
		for range 40 { // more than the attempts of the client
			time.Sleep(verifiedFor + time.Second)
			for _, n := range []int{1, 2} {
				s.leaving(5*time.Millisecond, address(n), "app", "secret456")
			}
		}
		for n := range 30 {
			s.wantUnauthorized(t, s.from(address(3), "app", "wrong"+strconv.Itoa(n)), errWrongSecret)
		}
	})
}

// While its own line in the queue of hashes is full, a network learns nothing: a right secret
// is refused like a wrong one. From the client's own address the right secret
// works.
func TestGuessWhileTheLineIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 30, chosen(t, "app"))
		const mine, neighbour = "192.0.2.7:1", "192.0.2.9:1"
		s.wantToken(t, s.from(mine, "app", "secret456"))
		s.hashing(time.Second)
		ctx, stop := context.WithCancel(t.Context())
		q := s.issuer.secrets.slow.queue
		for range slowWorkers() {
			if err := q.acquire(ctx, "busy", false); err != nil {
				t.Fatal(err)
			}
		}
		for _, network := range []string{networkOf(address(2)), networkOf(mine)} {
			for _, ahead := range []bool{true, false} {
				for range slowLine {
					go func() { _ = q.acquire(ctx, network, ahead) }()
				}
			}
		}
		synctest.Wait()
		for n := range 100 {
			for _, id := range []string{"app", "nobody"} {
				for _, from := range []string{address(2), neighbour} {
					s.wantUnavailable(t, s.from(from, id, "wrong"+strconv.Itoa(n)))
				}
			}
		}
		for _, from := range []string{address(2), neighbour} {
			s.wantUnavailable(t, s.from(from, "app", "secret456"))
		}
		s.wantToken(t, s.from(mine, "app", "secret456"))
		stop()
		synctest.Wait()
		for range slowWorkers() {
			q.release()
		}
		for n := range 30 { // nothing was compared, so no attempt was used up
			s.wantStatus(t, s.from(address(2), "app", "wrong"+strconv.Itoa(n)), 401)
			s.wantStatus(t, s.from(address(2), "nobody", "wrong"+strconv.Itoa(n)), 401)
			time.Sleep(time.Millisecond)
		}
	})
}

// While the store is away, a guess is answered 503 and costs an attempt. At addresses of
// the client, its right secret works and costs nothing.
func TestGuessWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, chosen(t, "app"))}
		s := newService(t, Config{ImportedSecrets: true, Store: store, MaxRevocationLag: time.Hour})
		s.wantToken(t, s.from(address(1), "app", "secret456"))
		store.does(at("Client", down))
		time.Sleep(clientFresh)
		hashes := s.slowHashesIn(func() {
			for n := range 100 {
				s.wantUnavailable(t, s.from(address(2), "app", "wrong"+strconv.Itoa(n)))
				s.wantToken(t, s.from(address(1), "app", "secret456"))
			}
			s.wantUnavailable(t, s.from(address(2), "app", "secret456"))
		})
		if hashes != 30 {
			t.Errorf("%d guesses were compared, want 30", hashes)
		}
	})
}

// Concurrent requests with one secret are one attempt.
func TestGuessShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 3, chosen(t, "app"))
		s.hashing(time.Second)
		ask := func(secret string) map[int]int {
			codes := make(chan int, 100)
			for range cap(codes) {
				go func() { codes <- s.from(address(1), "app", secret).Code }()
			}
			count := map[int]int{}
			for range cap(codes) {
				count[<-codes]++
			}
			return count
		}
		if got := ask("wrong"); got[401] != 100 {
			t.Errorf("the wrong one: %v", got)
		}
		if got := ask("secret456"); got[200] != 100 {
			t.Errorf("the right one: %v", got)
		}
		for n := range 2 {
			s.wantStatus(t, s.from(address(1), "app", strconv.Itoa(n)), 401)
		}
		s.wantStatus(t, s.from(address(2), "app", "2"), 429)
	})
}

// A caller that leaves while its id is looked up has used up a query of its network.
func TestLookupAborted(t *testing.T) {
	t.Parallel()
	generated, _ := registry.GenerateSecret()
	for name, secret := range map[string]string{"generated": generated, "chosen": "wrong"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &watched{Memory: newStore(t, app())}
				s := newService(t, Config{Store: store, ImportedSecrets: true})
				var load slowly
				store.does(load.query(20 * time.Millisecond))
				for n := range 3000 {
					s.leaving(10*time.Millisecond, "203.0.113.9:1", "nobody"+strconv.Itoa(n), secret)
				}
				if got := store.reads.Load(); got > 30*networkFactor+31 {
					t.Errorf("%d queries in 30 s", got)
				}
				time.Sleep(storeTimeout)
			})
		})
	}
}

// A client keeps its latest addresses, and takes no capacity from other clients. Many
// addresses of one network do not evict the client's other networks.
func TestTrustIsBoundedPerClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, chosen(t, "hostile"), chosen(t, "victim"))
		s := newService(t, Config{ImportedSecrets: true, Store: store, MaxGrantRate: -1})
		s.wantToken(t, s.from("198.51.100.7:1", "victim", "secret456"))
		s.wantToken(t, s.from("192.0.2.7:1", "hostile", "secret456"))
		for n := range 10 * registry.MaxNetworks {
			s.wantToken(t, s.from(fmt.Sprintf("[2001:db8::%x]:1", n), "hostile", "secret456"))
		}
		if n := s.issuer.secrets.lockout.trust.addresses("hostile", true); n != registry.MaxNetworks {
			t.Errorf("%d addresses of one client are kept", n)
		}
		time.Sleep(2 * recordDelay)
		hosts, err := store.Networks(t.Context(), "hostile")
		if err != nil || len(hosts) > recordedAddresses+1 {
			t.Errorf("recorded: %v %v", hosts, err)
		}
		for id, host := range map[string]string{"hostile": "192.0.2.7:1", "victim": "198.51.100.7:1"} {
			for n := range 100 {
				s.from("203.0.113.9:1", id, "wrong"+strconv.Itoa(n))
			}
			s.wantToken(t, s.from(host, id, "secret456"))
			s.wantStatus(t, s.from("203.0.113.10:1", id, "secret456"), 429)
		}
	})
}

// Each network of a client is recorded, even while its record is cached.
func TestTrustRecordsEachNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		s := newService(t, Config{Store: store})
		for range 3 {
			s.wantToken(t, s.from("198.51.100.7:1", "app", appSecret))
			s.wantToken(t, s.from("203.0.113.50:1", "app", appSecret))
		}
		time.Sleep(2 * recordDelay)
		if hosts, err := store.Networks(t.Context(), "app"); len(hosts) != 2 {
			t.Errorf("recorded: %v %v", hosts, err)
		}
	})
}

// refusing is a store that refuses to record addresses.
type refusing struct {
	*registry.Memory
	err atomic.Pointer[error]
}

func (r *refusing) Succeeded(ctx context.Context, networks []registry.ClientNetwork) error {
	if err := r.err.Load(); err != nil {
		return *err
	}
	return r.Memory.Succeeded(ctx, networks)
}

// An address that cannot be recorded is recorded later: by a retry, or if the store calls
// it invalid, at the next success.
func TestTrustRecordsAgain(t *testing.T) {
	for _, err := range []error{errDown, registry.ErrInvalid} {
		synctest.Test(t, func(t *testing.T) {
			store := &refusing{Memory: newStore(t, app())}
			store.err.Store(&err)
			s := newService(t, Config{Store: store})
			s.wantToken(t, s.from("198.51.100.7:1", "app", appSecret))
			time.Sleep(time.Minute)
			store.err.Store(nil)
			if errors.Is(err, registry.ErrInvalid) {
				s.wantToken(t, s.from("198.51.100.7:1", "app", appSecret))
			}
			time.Sleep(time.Minute)
			if hosts, err := store.Networks(t.Context(), "app"); len(hosts) != 1 {
				t.Errorf("recorded: %v %v", hosts, err)
			}
		})
	}
}

// A query for an unknown id that the database ends by its own timeout does not count as a
// failure of the store.
func TestLookupEndedByTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cold := app()
		cold.ID = "cold"
		store := &watched{Memory: newStore(t, app(), cold)}
		s := newService(t, Config{Store: store})
		store.does(at("Client", func(context.Context, string) error {
			time.Sleep(2500 * time.Millisecond)
			return errors.New("canceling statement due to statement timeout")
		}))
		s.wantUnavailable(t, s.from(address(1), "nobody", appSecret))
		store.does(at("Client", func(context.Context, string) error { return nil }))
		s.wantToken(t, s.from(address(1), "cold", appSecret))
	})
}

// All lines of a /48, or of a /32, share a part of the queue's capacity. Callers that go
// ahead have a capacity of their own.
func TestFairQueueShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFairQueue(0, 2, 64)
		ctx, stop := context.WithCancel(t.Context())
		wait := func(n int, ahead bool, network func(int) string) int {
			before := q.length()
			for k := range n {
				go func() { _ = q.acquire(ctx, networkOf(network(k)), ahead) }()
			}
			synctest.Wait()
			return q.length() - before
		}
		of48 := func(n int) string { return fmt.Sprintf("2001:db8:0:%x00::1", n) }
		of32 := func(n int) string { return fmt.Sprintf("2001:db8:%x::1", 1+n) }
		ipv4 := func(n int) string { return fmt.Sprintf("198.51.%d.1", n) }
		for _, tt := range []struct {
			what     string
			n        int
			ahead    bool
			network  func(int) string
			min, max int
		}{
			{"a /48", 200, false, of48, 8, 8},
			{"a /32", 200, false, of32, 24, 24},
			{"IPv4", 200, false, ipv4, 32, 32},
			{"the queue is full", 50, false, func(n int) string { return fmt.Sprintf("203.0.%d.1", n) }, 0, 0},
			{"ahead", 20, true, of48, 8, 8},
			{"ahead", 20, true, ipv4, 20, 20},
		} {
			if got := wait(tt.n, tt.ahead, tt.network); got < tt.min || got > tt.max {
				t.Errorf("%s: %d wait, want %d", tt.what, got, tt.max)
			}
		}
		stop()
		synctest.Wait()
		if q.length() != 0 || q.ahead.groups != nil || q.others.groups != nil {
			t.Errorf("left behind: %+v", q)
		}
	})
}

// Guesses from a whole /48 do not delay a client at its own address.
func TestGuessersOfA48(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, chosen(t, "app"))
		if err := store.Succeeded(t.Context(), []registry.ClientNetwork{{ClientID: "app", Network: "198.51.100.7", At: time.Now()}}); err != nil {
			t.Fatal(err)
		}
		s := newService(t, Config{ImportedSecrets: true, Store: store})
		s.from(address(1), "nobody", "wrong")
		time.Sleep(time.Second) // trusted addresses have been loaded
		s.hashing(50 * time.Millisecond)
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		for k := range 80 {
			go func() {
				for n := 0; ctx.Err() == nil; n++ {
					s.leaving(5*time.Second, fmt.Sprintf("[2001:db8:0:%x00::1]:1", k), fmt.Sprint("nobody", k, "-", n), "wrong")
					time.Sleep(20 * time.Millisecond)
				}
			}()
		}
		time.Sleep(time.Second)
		begun := time.Now()
		s.wantStatus(t, s.from("198.51.100.7:1", "app", "secret456"), 200)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it waited for %v", took)
		}
		<-ctx.Done()
		time.Sleep(10 * time.Second)
	})
}

// The event says whether the client or the network has failed too often. The answer does
// not.
func TestLockedOutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 2, chosen(t, "app"))
		answers := map[string]bool{}
		refused := func(w *httptest.ResponseRecorder, says string) {
			t.Helper()
			s.wantStatus(t, w, 429)
			answers[w.Body.String()] = true
			if err := s.lastEvent(t).Err; !errors.Is(err, errLockedOut) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want %q", err, says)
			}
		}
		for _, id := range []string{"app", "nobody"} {
			for range 2 {
				s.wantStatus(t, s.from(address(1), id, "wrong"), 401)
			}
			refused(s.from(address(1), id, "wrong"), "at this client, from all networks together: 2 are allowed, then one per 5s")
		}
		for n := range 16 {
			s.wantStatus(t, s.from(address(1), "nobody"+strconv.Itoa(n), "wrong"), 401)
		}
		refused(s.from(address(1), "app", "wrong"), "from the network 1.0.1.0/24: 20 are allowed, then one per 30s")
		if len(answers) != 1 {
			t.Errorf("answers %v", answers)
		}
	})
}

// A full map evicts light entries. There are so few heavy ones that each sample has a light
// one, however the keys are spread over the shards.
func TestBoundedWeigh(t *testing.T) {
	b := newBounded[int](16*32, time.Hour)
	b.weigh(func(v int) int64 { return int64(v) })
	const heavy = evictSample - 1
	for n := range heavy {
		b.set("heavy"+strconv.Itoa(n), 10)
	}
	for n := range 10_000 {
		b.set(strconv.Itoa(n), 1)
	}
	for n := range heavy {
		if _, ok := b.get("heavy" + strconv.Itoa(n)); !ok {
			t.Errorf("%d is evicted", n)
		}
	}
	if n := b.len(); n > 16*32 {
		t.Errorf("%d are kept", n)
	}
}
