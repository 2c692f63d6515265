package issuer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// wantRevoked checks what the issuer says of a token.
func wantRevoked(t *testing.T, i *Issuer, jti, clientID string, issuedAt time.Time, want bool) {
	t.Helper()
	if got, err := i.Revoked(t.Context(), jti, clientID, issuedAt); got != want || err != nil {
		t.Errorf("%s of %s: revoked %v, %v, want %v", jti, clientID, got, err, want)
	}
}

// wantLag checks that the issuer does not guess.
func wantLag(t *testing.T, i *Issuer, cause error) {
	t.Helper()
	got, err := i.Revoked(t.Context(), "a", "app", time.Now())
	if got || !errors.Is(err, errLag) || !errors.Is(err, cause) {
		t.Errorf("%v, %v, want an error because of %v", got, err, cause)
	}
	if err != nil && strings.Contains(err.Error(), "%!") {
		t.Errorf("%v", err)
	}
}

func revokeToken(t *testing.T, i *Issuer, jti string, expiresAt time.Time) {
	t.Helper()
	if err := i.RevokeToken(t.Context(), jti, expiresAt); err != nil {
		t.Fatal(err)
	}
}

// put adds a change to the feed, without the issuer.
func put(t *testing.T, store registry.Store, r registry.Change) {
	t.Helper()
	if r.ExpiresAt.IsZero() {
		r.ExpiresAt = time.Now().Add(time.Hour)
	}
	if _, err := store.Revoke(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// kept counts what the set holds.
func kept(r *revoked) (tokens, clients int) {
	for i := range r.tokens {
		t, c := &r.tokens[i], &r.clients[i]
		t.RLock()
		tokens += len(t.until)
		t.RUnlock()
		c.RLock()
		clients += len(c.cut)
		c.RUnlock()
	}
	return tokens, clients
}

// The process that revokes knows at once; another one with the same store within
// 2 s.
func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		here, there := newService(t, Config{Store: store}).issuer, newService(t, Config{Store: store}).issuer
		now := time.Now()
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "a", "app", now, false)
		}
		for n := range 20 { // wherever in its round the other one is
			time.Sleep(time.Duration(n) * 97 * time.Millisecond)
			jti := strconv.Itoa(n)
			revokeToken(t, here, jti, now.Add(time.Hour))
			wantRevoked(t, here, jti, "app", now, true)
			time.Sleep(2 * time.Second)
			wantRevoked(t, there, jti, "app", now, true)
			wantRevoked(t, there, jti+"x", "app", now, false)
		}
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "a", "app", now, false)
			wantRevoked(t, i, "", "app", now, false)
		}
	})
}

// The cut-off takes what was granted up to its second, that second included, of
// that client alone.
func TestRevokeClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		here, there := newService(t, Config{Store: store}).issuer, newService(t, Config{Store: store}).issuer
		time.Sleep(500 * time.Millisecond)
		now := time.Now()
		second := now.Truncate(time.Second)
		wantRevoked(t, there, "a", "app", second, false)
		if err := here.RevokeClient(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		check := func(i *Issuer) {
			t.Helper()
			for _, old := range []time.Duration{0, 400 * time.Millisecond, 999 * time.Millisecond, -time.Second, -time.Hour} {
				wantRevoked(t, i, "a", "app", second.Add(old), true)
			}
			wantRevoked(t, i, "a", "app", time.Time{}, true)
			wantRevoked(t, i, "a", "app", second.Add(time.Second), false)
			wantRevoked(t, i, "a", "ap", second, false)
			wantRevoked(t, i, "a", "apps", second, false)
			wantRevoked(t, i, "app", "", second, false)
		}
		check(here)
		time.Sleep(2 * time.Second)
		check(there)

		// A later cut-off counts, an earlier one that is heard of late does not.
		put(t, store, registry.Change{Kind: registry.ClientCutOff, ClientID: "app", ExpiresAt: time.Now().Add(time.Minute)})
		time.Sleep(2 * time.Second)
		check(there)
		time.Sleep(3 * sweepEvery)
		check(there)
		if err := here.RevokeClient(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		wantRevoked(t, here, "a", "app", second.Add(3*sweepEvery), true)
		time.Sleep(2 * time.Second)
		wantRevoked(t, there, "a", "app", second.Add(3*sweepEvery), true)
	})
}

func TestRevokeRefuses(t *testing.T) {
	store := &watched{Memory: newStore(t, app())}
	i := newService(t, Config{Store: store}).issuer
	if err := i.RevokeToken(t.Context(), "", time.Now()); err == nil || !strings.Contains(err.Error(), "jti") {
		t.Errorf("no jti: %v", err)
	}
	if err := i.RevokeClient(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "client id") {
		t.Errorf("no client: %v", err)
	}
	if got := store.writes.Load(); got != 0 {
		t.Errorf("%d writes", got)
	}
	// What could not be written does not count as revoked here either: the caller
	// has an error.
	store.does(at("Revoke", down))
	if err := i.RevokeToken(t.Context(), "a", time.Now().Add(time.Hour)); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	if err := i.RevokeClient(t.Context(), "app"); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	wantRevoked(t, i, "a", "app", time.Now(), false)
}

// A hung store holds a revocation up so long, and no longer.
func TestRevokeHungStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		i := newService(t, Config{Store: store}).issuer
		store.does(at("Revoke", hung))
		begun := time.Now()
		if err := i.RevokeClient(t.Context(), "app"); err == nil || time.Since(begun) != storeTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// What has expired leaves the set, not before any verifier refuses the token by
// its time, and Memory's feed.
func TestRevokedUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		s := newService(t, Config{Store: store, TokenTTL: time.Minute, MaxTokenTTL: 10 * time.Minute})
		here, there := s.issuer, newService(t, Config{Store: store}).issuer
		begun := time.Now()
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "a", "app", begun, false)
		}
		for n := range 1000 {
			revokeToken(t, here, strconv.Itoa(n), begun.Add(time.Minute))
		}
		revokeToken(t, here, "unknown expiry", time.Time{})
		if err := here.RevokeClient(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + afterExpiry)
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "999", "x", begun, true)
		}
		time.Sleep(sweepEvery + 2*time.Second)
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "999", "x", begun, false)
			if tokens, clients := kept(i.revoked); tokens != 1 || clients != 1 {
				t.Errorf("%d tokens and %d clients are kept", tokens, clients)
			}
		}
		time.Sleep(time.Until(begun.Add(10*time.Minute + afterExpiry)))
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "unknown expiry", "x", begun, true)
			wantRevoked(t, i, "other", "app", begun, true)
		}
		time.Sleep(sweepEvery + 2*time.Second)
		for _, i := range []*Issuer{here, there} {
			// A cut-off stays as long as any earlier configuration's tokens may live.
			if tokens, clients := kept(i.revoked); tokens != 0 || clients != 1 {
				t.Errorf("%d tokens and %d clients are kept", tokens, clients)
			}
			for n := range i.revoked.clients {
				shard := &i.revoked.clients[n]
				shard.Lock()
				for id, cut := range shard.cut {
					if left := time.Until(time.Unix(cut.until, 0)); left < 89*24*time.Hour || left > 91*24*time.Hour {
						t.Errorf("the cut-off is kept for %v", left)
					}
					shard.cut[id] = cutOff{cut.notBefore, time.Now().Unix()}
				}
				shard.Unlock()
			}
			i.revoked.sweep()
			if _, clients := kept(i.revoked); clients != 0 {
				t.Errorf("%d clients are kept after their time", clients)
			}
		}
		if page, err := store.Changes(t.Context(), 0); len(page.Changes) != 1 || err != nil {
			t.Errorf("%d entries, %v", len(page.Changes), err)
		}
		revokeToken(t, here, "last", time.Now())
		if page, err := store.Changes(t.Context(), 0); len(page.Changes) != 2 || err != nil || page.Changes[1].Sequence != 1003 {
			t.Errorf("%v, %v", page, err)
		}
	})
}

// A token that is revoked twice, or with an earlier end, stays revoked.
func TestRevocationTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		i := newService(t, Config{Store: store}).issuer
		now := time.Now()
		revokeToken(t, i, "a", now.Add(time.Hour))
		revokeToken(t, i, "a", now)
		time.Sleep(2 * sweepEvery)
		wantRevoked(t, i, "a", "app", now, true)
		time.Sleep(time.Hour - 2*sweepEvery)
		wantRevoked(t, i, "a", "app", now, true)
	})
}

const maxPage = 10_000 // of registry.Memory

// More than the feed gives at once: the first poll reads it all, in pages.
func TestRevocationPages(t *testing.T) {
	for _, n := range []int{0, 1, maxPage - 1, maxPage, maxPage + 1, 2*maxPage + 5000} {
		memory := newStore(t, app())
		for k := range n {
			put(t, memory, registry.Change{Kind: registry.TokenRevoked, TokenID: strconv.Itoa(k)})
		}
		store := &watched{Memory: memory}
		i := newService(t, Config{Store: store}).issuer
		if n > 0 {
			wantRevoked(t, i, "0", "app", time.Now(), true)
			wantRevoked(t, i, strconv.Itoa(n-1), "app", time.Now(), true)
		}
		wantRevoked(t, i, strconv.Itoa(n), "app", time.Now(), false)
		if tokens, _ := kept(i.revoked); tokens != n {
			t.Errorf("%d of %d are kept", tokens, n)
		}
		put(t, store, registry.Change{Kind: registry.TokenRevoked, TokenID: "next"})
		if err := i.Sync(t.Context()); err != nil {
			t.Error(err)
		}
		wantRevoked(t, i, "next", "app", time.Now(), true)
	}
}

// For the race detector: tokens are revoked, looked up, followed and swept at
// once.
func TestRevocationsConcurrently(t *testing.T) {
	store := newStore(t, app())
	here, there := newService(t, Config{Store: store}).issuer, newService(t, Config{Store: store}).issuer
	var all sync.WaitGroup
	for _, i := range []*Issuer{here, there} {
		for worker := range 4 {
			all.Go(func() {
				for n := range 200 {
					jti := fmt.Sprint(worker, "-", n)
					if err := i.RevokeToken(t.Context(), jti, time.Now().Add(time.Hour)); err != nil {
						t.Error(err)
					}
					if err := i.RevokeClient(t.Context(), jti); err != nil {
						t.Error(err)
					}
					for _, id := range []string{jti, "x"} {
						if got, err := i.Revoked(t.Context(), jti, id, time.Now()); !got || err != nil {
							t.Error(got, err)
						}
					}
				}
			})
		}
		all.Go(func() {
			for range 50 {
				i.revoked.sweep()
				if err := i.Sync(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, i := range []*Issuer{here, there} {
		if err := i.Sync(t.Context()); err != nil {
			t.Error(err)
		}
		if tokens, clients := kept(i.revoked); tokens != 800 || clients != 800 {
			t.Errorf("%d tokens, %d clients", tokens, clients)
		}
	}
}

// BenchmarkRevoked is what a guard pays for each request, of a token that is not
// revoked, as the set grows.
func BenchmarkRevoked(b *testing.B) {
	for _, n := range []int{0, 1_000_000} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		i := newService(b, Config{}).issuer
		until := time.Now().Add(time.Hour)
		for range n {
			i.apply(registry.Change{Kind: registry.TokenRevoked, TokenID: rand.Text(), ExpiresAt: until})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		jti, issuedAt := rand.Text(), time.Now()
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if revoked, err := i.Revoked(b.Context(), jti, "app", issuedAt); revoked || err != nil {
					b.Fatal(revoked, err)
				}
			}
			if n > 0 {
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/revocation")
			}
		})
		runtime.KeepAlive(i)
	}
}

// BenchmarkRevokedStall is how long a look-up waits at the worst while a million
// revocations, of tokens and of clients, are swept without a pause.
func BenchmarkRevokedStall(b *testing.B) {
	for _, sweeping := range []bool{false, true} {
		b.Run(fmt.Sprintf("sweeping=%v", sweeping), func(b *testing.B) {
			i := newService(b, Config{}).issuer
			until := time.Now().Add(time.Hour)
			for n := range 500_000 {
				i.apply(registry.Change{Kind: registry.TokenRevoked, TokenID: strconv.Itoa(n), ExpiresAt: until})
				i.apply(registry.Change{Kind: registry.ClientCutOff, ClientID: strconv.Itoa(n), ExpiresAt: until})
			}
			stop := make(chan struct{})
			var sweeps sync.WaitGroup
			if sweeping {
				sweeps.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							i.revoked.sweep()
						}
					}
				})
			}
			waits := make([]time.Duration, 0, 1<<22)
			for b.Loop() {
				began := time.Now()
				if revoked, err := i.Revoked(b.Context(), "x", "y", began); revoked || err != nil {
					b.Fatal(revoked, err)
				}
				if len(waits) < cap(waits) {
					waits = append(waits, time.Since(began))
				}
			}
			close(stop)
			sweeps.Wait()
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)*9999/10000].Nanoseconds()), "p99.99-ns")
		})
	}
}
