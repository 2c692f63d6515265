package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// chosenClient returns the app with a chosen secret, whose hash costs little.
func chosenClient(tb testing.TB, plain string) registry.Client {
	tb.Helper()
	c := app()
	c.Secrets = []registry.Secret{quickHash(tb, plain)}
	return c
}

// One hash is enough for many tokens (hydra#1477), but only for the secret that matched the
// current hash.
func TestSlowHashCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chosenClient(t, "secret456")
		store := newStore(t, c)
		s := newService(t, Config{ImportedSecrets: true, Store: store})
		ask := func(what, plain string, status, hashes int) {
			t.Helper()
			var w *httptest.ResponseRecorder
			got := s.slowHashesIn(func() {
				w = s.post("grant_type=client_credentials", "Authorization", basic("app", plain))
			})
			if w.Code != status || got != hashes {
				t.Errorf("%s: status %d after %d slow hashes, want %d after %d", what, w.Code, got, status, hashes)
			}
		}
		ask("first", "secret456", 200, 1)
		for range 20 {
			ask("again", "secret456", 200, 0)
		}
		ask("wrong", "secret457", 401, 1)
		ask("wrong again", "secret457", 401, 1) // a failure is not cached
		ask("right after wrong", "secret456", 200, 0)
		time.Sleep(verifiedFor - time.Second)
		ask("later", "secret456", 200, 0)
		time.Sleep(2 * time.Second)
		ask("active, so still cached", "secret456", 200, 0)
		time.Sleep(verifiedFor + time.Second)
		ask("too late", "secret456", 200, 1)

		c.Disabled = true
		s.put(t, store, c)
		ask("disabled", "secret456", 401, 0)
		c.Disabled = false
		c.Secrets[0].ExpiresAt = time.Now()
		s.put(t, store, c)
		ask("expired", "secret456", 401, 1)

		s.put(t, store, chosenClient(t, "changed"))
		ask("old one after a change", "secret456", 401, 1)
		ask("new one", "changed", 200, 1)
		s.put(t, store, chosenClient(t, "changed")) // the same secret with a new hash
		ask("other hash of it", "changed", 200, 1)
		ask("other hash of it", "changed", 200, 0)

		s.put(t, store, app())
		ask("removed", "changed", 401, 1)
	})
}

// The cache of secrets is bounded, and holds no secret in plain text.
func TestSlowHashCacheBounded(t *testing.T) {
	h, err := newSlowHashes()
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxVerified + 10 {
		h.known.set(fmt.Sprint(n), []byte("x"))
	}
	if count := h.known.len(); count > maxVerified || count < maxVerified/4 {
		t.Errorf("%d are cached", count)
	}
	stored := quickHash(t, "secret456")
	if ok, _, err := h.check(t.Context(), slowCheck{stored: &stored, plain: "secret456"}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for i := range h.known.shards {
		s := &h.known.shards[i]
		for key, element := range s.entries {
			if strings.Contains(fmt.Sprintf("%s %s", key, s.at(element).value), "secret456") {
				t.Error("the secret is cached in plain text")
			}
		}
	}
}

// A bounded number of hashes run, a bounded number wait, and the rest are refused.
func TestSlowHashGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := newSlowHashes()
		if err != nil {
			t.Fatal(err)
		}
		const more = 10
		var running, most atomic.Int32
		release := make(chan struct{})
		total := slowWorkers() + slowWaiters + more
		results := make(chan error, total)
		for n := range total {
			go func() {
				results <- h.gate(t.Context(), networkOf(address(n)), false, func() {
					most.Store(max(most.Load(), running.Add(1)))
					<-release
					running.Add(-1)
				})
			}()
		}
		synctest.Wait()
		if got, want := int(running.Load()), max(1, runtime.GOMAXPROCS(0)/2); got != want {
			t.Errorf("%d run, want %d: half of the cores are for the others", got, want)
		}
		if len(results) != more {
			t.Fatalf("%d are refused at once, want %d", len(results), more)
		}
		for range more {
			if err := <-results; !errors.Is(err, errSlowBusy) {
				t.Errorf("refused with %v", err)
			}
		}
		close(release)
		synctest.Wait()
		if len(results) != total-more {
			t.Fatalf("%d came through, want %d", len(results), total-more)
		}
		for range total - more {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if int(most.Load()) > slowWorkers() || h.queue.free != slowWorkers() || h.queue.length() != 0 {
			t.Errorf("%d ran at once, or some still run or wait", most.Load())
		}
	})
}

// At most two callers of one network wait.
func TestSlowHashOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := newSlowHashes()
		if err != nil {
			t.Fatal(err)
		}
		h.queue.free = 0
		results := make(chan error, 20)
		for n := range cap(results) {
			go func() { results <- h.gate(t.Context(), networkOf(address(n%2)), false, func() {}) }()
		}
		synctest.Wait()
		if _, waiting := h.queue.state(); waiting != 2*2 || len(results) != cap(results)-2*2 {
			t.Errorf("%d of two networks wait", waiting)
		}
		h.queue.release()
		synctest.Wait()
	})
}

func TestSlowHashTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := newSlowHashes()
		if err != nil {
			t.Fatal(err)
		}
		h.queue.free = 0
		ran := false
		started := time.Now()
		if err := h.gate(t.Context(), "n", false, func() { ran = true }); !errors.Is(err, errSlowBusy) || time.Since(started) != slowTimeout {
			t.Errorf("%v after %v", err, time.Since(started))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started = time.Now()
		if err := h.gate(ctx, "n", false, func() { ran = true }); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != time.Second {
			t.Errorf("%v after %v", err, time.Since(started))
		}
		if ran || h.queue.length() != 0 {
			t.Error("it ran, or still waits")
		}
	})
}

// While forged secrets fill the queue, requests that need a slow hash get 503, for clients
// and unknown ids. Cached and generated secrets work.
func TestSlowHashCrowd(t *testing.T) {
	known := chosenClient(t, "secret456")
	known.ID = "known"
	fresh := chosenClient(t, "secret456")
	fresh.ID = "fresh"
	s := newService(t, Config{ImportedSecrets: true}, known, fresh, app())
	ask := func(id, secret string) *httptest.ResponseRecorder {
		return s.post("grant_type=client_credentials", "Authorization", basic(id, secret))
	}
	s.wantToken(t, ask("known", "secret456"))
	queue := s.issuer.secrets.slow.queue
	queue.free, queue.others.waiting, queue.ahead.waiting = 0, slowWaiters, slowWaiters
	for _, id := range []string{"fresh", "nobody"} {
		s.wantError(t, ask(id, "secret456"), 503, "temporarily_unavailable", "try again in a moment")
		s.wantCause(t, errSlowBusy)
	}
	s.wantToken(t, ask("known", "secret456"))
	s.wantToken(t, ask("app", appSecret))
	queue.free, queue.others.waiting, queue.ahead.waiting = slowWorkers(), 0, 0
	s.wantToken(t, ask("fresh", "secret456"))
}

// Concurrent requests with one right secret share one hash.
func TestSlowHashShared(t *testing.T) {
	s := newService(t, Config{ImportedSecrets: true}, chosenClient(t, "secret456"))
	s.issuer.secrets.slow.queue = newFairQueue(1, slowLine, slowWaiters)
	hashes := s.slowHashesIn(func() {
		status := make(chan int)
		for range 20 {
			go func() {
				status <- s.post("grant_type=client_credentials", "Authorization", basic("app", "secret456")).Code
			}()
		}
		for range 20 {
			if got := <-status; got != 200 {
				t.Errorf("status %d", got)
			}
		}
	})
	if hashes != 1 {
		t.Errorf("%d slow hashes, want 1", hashes)
	}
}

// An unknown id costs the same as the imported hash that was seen last.
func TestSlowHashDummy(t *testing.T) {
	costly, quick := app(), app()
	costly.ID, costly.Secrets = "costly", []registry.Secret{argonHash(t, "secret456", 256, 2)}
	quick.ID, quick.Secrets = "quick", []registry.Secret{quickHash(t, "secret456")}
	s := newService(t, Config{ImportedSecrets: true}, costly, quick)
	fresh, err := newSlowHashes()
	if err != nil {
		t.Fatal(err)
	}
	s.issuer.secrets.slow.dummy.Store(fresh.dummy.Load())
	for _, step := range []struct{ id, cost string }{
		{"nobody", "m=19456,t=2"}, {"costly", "m=256,t=2"}, {"nobody", "m=256,t=2"}, {"quick", "m=64,t=1"}, {"nobody", "m=64,t=1"},
	} {
		hashes := s.slowHashesIn(func() {
			s.wantStatus(t, s.post("grant_type=client_credentials", "Authorization", basic(step.id, "wrong")), 401)
		})
		if last := s.compared.slow[len(s.compared.slow)-1]; hashes != 1 || !strings.Contains(last, step.cost) {
			t.Errorf("%s: %d hashes, the last of them %s", step.id, hashes, last)
		}
	}
}
