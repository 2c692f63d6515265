package issuer

import (
	"context"
	"errors"
	"fmt"
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

// wantLag checks that Revoked returns an error with that cause.
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
	return int(r.tokens.size.Load()), int(r.clients.size.Load())
}

// cutOff writes a cut-off, without the issuer, and returns its sequence.
func cutOff(t *testing.T, store registry.Store, c registry.Change) int64 {
	t.Helper()
	sequence, err := store.Revoke(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return sequence
}

// A revocation counts at once in the process that writes it, and within 2 s in others with
// the same store.
func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		here, there := newService(t, Config{Store: store}).issuer, newService(t, Config{Store: store}).issuer
		now := time.Now()
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "a", "app", now, false)
		}
		for n := range 20 { // at different moments between two polls of the other
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

// A cut-off revokes the tokens with a number below it, of its client, its secret or all. No
// clock is involved.
func TestCutOffs(t *testing.T) {
	const stolen, other = "0123456789abcdef", "fedcba9876543210"
	for _, tt := range map[string]struct {
		change       registry.Change
		ofClient     bool // also the client's tokens from other secrets
		ofOthers     bool // also tokens of other clients
		withoutAForm bool // also tokens whose jti has another form
	}{
		"client": {registry.CutOff("app"), true, false, true},
		"secret": {registry.Change{Kind: registry.SecretCutOff, ClientID: "app", SecretID: stolen}, false, false, false},
		"all":    {registry.Change{Kind: registry.AllCutOff}, true, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t, app())
			here, there := newService(t, Config{Store: store}).issuer, newService(t, Config{Store: store}).issuer
			first := cutOff(t, store, tt.change)
			time.Sleep(10 * time.Minute)
			last := cutOff(t, store, tt.change)
			time.Sleep(2 * time.Second)
			check := func(i *Issuer, last int64) {
				t.Helper()
				for number, old := range map[int64]bool{0: true, first - 1: true, first: first < last, last - 1: true, last: false, last + 1: false} {
					for _, issuedAt := range []time.Time{{}, time.Now().Add(-24 * time.Hour), time.Now().Add(24 * time.Hour)} {
						id := func(secretID string) string { return newTokenID(tokenID{number, secretTag(secretID)}) }
						wantRevoked(t, i, id(stolen), "app", issuedAt, old)
						wantRevoked(t, i, id(other), "app", issuedAt, old && tt.ofClient)
						wantRevoked(t, i, id(""), "app", issuedAt, old && tt.ofClient)
						for _, client := range []string{"ap", "apps", ""} {
							wantRevoked(t, i, id(stolen), client, issuedAt, old && tt.ofOthers)
						}
					}
				}
				for _, jti := range []string{"", "app", "a", newTokenID(tokenID{last, 0})[1:], newTokenID(tokenID{last, 0}) + "A"} {
					wantRevoked(t, i, jti, "app", time.Now(), tt.withoutAForm)
				}
			}
			check(here, last)
			check(there, last)
			time.Sleep(3 * sweepEvery)
			check(here, last)

			// An earlier cut-off that arrives late undoes nothing.
			earlier := tt.change
			earlier.Sequence, earlier.ExpiresAt = first, time.Now().Add(time.Minute)
			here.apply(earlier)
			check(here, last)
			time.Sleep(3 * sweepEvery)
			check(here, last)
		})
	}
}

// Each Revoke method writes one entry. It counts here when the method returns, elsewhere
// within 2 s. Later tokens are valid.
func TestRevokeVerbs(t *testing.T) {
	for name, tt := range map[string]struct {
		revoke          func(ctx context.Context, i *Issuer, g *granted, secretID string) error
		others, another bool // also tokens from its other secret; of another client
	}{
		"token": {func(ctx context.Context, i *Issuer, g *granted, _ string) error {
			return i.RevokeToken(ctx, g.claims.ID, time.Time{})
		}, false, false},
		"client": {func(ctx context.Context, i *Issuer, _ *granted, _ string) error { return i.RevokeClient(ctx, "app") }, true, false},
		"secret": {func(ctx context.Context, i *Issuer, _ *granted, id string) error {
			return i.RevokeSecret(ctx, "app", id)
		}, false, false},
		"all": {func(ctx context.Context, i *Issuer, _ *granted, _ string) error { return i.RevokeAll(ctx) }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				second, stored := registry.GenerateSecret()
				c := app()
				c.Secrets = append(c.Secrets, stored)
				other, otherSecret := otherClient()
				store := &watched{Memory: newStore(t, c, other)}
				here, there := newService(t, Config{Store: store}), newService(t, Config{Store: store})
				grants := func(s *service) [3]*granted {
					return [3]*granted{
						s.wantToken(t, s.post(appForm)),
						s.wantToken(t, s.post(form("grant_type", "client_credentials", "client_id", "app", "client_secret", second))),
						s.wantToken(t, s.post(form("grant_type", "client_credentials", "client_id", "other", "client_secret", otherSecret))),
					}
				}
				grants(here) // it has read the feed, and caches the clients
				before := grants(there)
				if err := tt.revoke(t.Context(), here.issuer, before[0], appStored.ID); err != nil {
					t.Fatal(err)
				}
				if got := store.writes.Load(); got != 1 {
					t.Errorf("%d writes", got)
				}
				check := func(s *service, g [3]*granted, old bool) {
					t.Helper()
					for n, want := range [3]bool{old, old && tt.others, old && tt.another} {
						if got := s.revoked(t, g[n]); got != want {
							t.Errorf("token %d: revoked %v, want %v", n, got, want)
						}
					}
				}
				check(here, before, true)
				check(here, grants(here), false) // the replica that revoked grants valid tokens at once
				time.Sleep(followPromise)
				check(there, before, true)
				after := grants(there)
				check(there, after, false)
				check(here, after, false)
			})
		})
	}
}

// A token that another replica grants before it has read the cut-off is refused. The next
// one is valid.
func TestCutOffPrice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		here, there := newService(t, Config{Store: store}), newService(t, Config{Store: store})
		there.wantToken(t, there.post(appForm))
		time.Sleep(followEvery / 2)
		if err := here.issuer.RevokeClient(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		late := there.wantToken(t, there.post(appForm))
		if !here.revoked(t, late) {
			t.Error("a token that was granted before the cut-off was read is valid")
		}
		time.Sleep(followPromise)
		if !there.revoked(t, late) {
			t.Error("it is valid at the replica that granted it")
		}
		if next := there.wantToken(t, there.post(appForm)); here.revoked(t, next) || there.revoked(t, next) {
			t.Error("the next token is revoked")
		}
	})
}

func TestRevokeRefuses(t *testing.T) {
	store := &watched{Memory: newStore(t, app())}
	i := newService(t, Config{Store: store}).issuer
	if err := i.RevokeToken(t.Context(), "", time.Now()); err == nil || !strings.Contains(err.Error(), "jti") {
		t.Errorf("no jti: %v", err)
	}
	for _, err := range []error{i.RevokeClient(t.Context(), ""), i.RevokeSecret(t.Context(), "", "a"), i.RevokeSecret(t.Context(), "app", "")} {
		if err == nil || !strings.Contains(err.Error(), "client id") {
			t.Errorf("no client: %v", err)
		}
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
	for _, err := range []error{i.RevokeClient(t.Context(), "app"), i.RevokeAll(t.Context()), i.RevokeSecret(t.Context(), "app", "a")} {
		if !errors.Is(err, errDown) {
			t.Errorf("%v", err)
		}
	}
	wantRevoked(t, i, "a", "app", time.Now(), false)
}

// A hung store delays a revocation for storeTimeout, and no longer.
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

// A revocation is dropped after its token has expired for every verifier, and not before.
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
			if got := i.Status().Revocations; got != 2 { // the token of unknown expiry, and the cut-off
				t.Errorf("%d live revocations, want 2", got)
			}
		}
		time.Sleep(time.Until(begun.Add(10*time.Minute + afterExpiry)))
		for _, i := range []*Issuer{here, there} {
			wantRevoked(t, i, "unknown expiry", "x", begun, true)
			wantRevoked(t, i, "other", "app", begun, true)
		}
		time.Sleep(sweepEvery + 2*time.Second)
		for _, i := range []*Issuer{here, there} {
			if got := i.Status().Revocations; got != 1 {
				t.Errorf("%d live revocations, want the cut-off", got)
			}
		}
	})
}

// A replica whose wall clock is hours or months ahead drops no revocation too early: each
// counts for as long as its token can live.
func TestRevokedByAClockThatIsAhead(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"hours": 2 * time.Hour, "months": 100 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				right := time.Now().Add(-ahead) // by the store's clock
				feed := []registry.Change{
					{Sequence: right.UnixMicro() + 1, Kind: registry.TokenRevoked, TokenID: "a", ClientID: "app", ExpiresAt: right.Add(30 * time.Minute)},
					{Sequence: right.UnixMicro() + 2, Kind: registry.ClientCutOff, ClientID: "cut", ExpiresAt: right.Add(registry.CutOffLifetime)},
					{Sequence: right.UnixMicro() + 3, Kind: registry.SecretCutOff, ClientID: "app", SecretID: "s", ExpiresAt: right.Add(registry.CutOffLifetime)},
				}
				all := registry.Change{Sequence: right.UnixMicro(), Kind: registry.AllCutOff, ExpiresAt: right.Add(registry.CutOffLifetime)}
				r, l := newRevoked(time.Hour), newLedger()
				l.longest = time.Hour
				for _, c := range append(feed, all) {
					r.add(c)
					l.add(c)
				}
				l.setBack()
				for range 29 {
					time.Sleep(time.Minute)
					r.sweep()
					l.sweep()
				}
				for name, revoked := range map[string]bool{
					"token": r.has("a", "nobody"), "client": r.has(newTokenID(tokenID{all.Sequence, 0}), "cut"),
					"secret": r.has(newTokenID(tokenID{all.Sequence, secretTag("s")}), "app"), "all": r.has(newTokenID(tokenID{all.Sequence - 1, 0}), "x"),
				} {
					if !revoked {
						t.Errorf("%s: dropped too early", name)
					}
				}
				if got := l.lacking(); len(got) != 4 {
					t.Errorf("the ledger has %d of 4: %+v", len(got), got)
				}
				time.Sleep(time.Hour)
				r.sweep()
				if tokens, clients := kept(r); tokens != 0 || clients != 1 {
					t.Errorf("%d tokens and %d clients are kept", tokens, clients)
				}
			})
		})
	}
}

// A cut-off is kept in memory as long as the store keeps it.
func TestCutOffUntil(t *testing.T) {
	for _, c := range []registry.Change{registry.CutOff("app"), {Kind: registry.SecretCutOff, ClientID: "app", SecretID: "a"}, {Kind: registry.AllCutOff}} {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t, app())
			i := newService(t, Config{Store: store}).issuer
			begun := time.Now()
			cutOff(t, store, c)
			wantRevoked(t, i, newTokenID(tokenID{1, secretTag("a")}), "app", begun, true)
			if err := i.Close(); err != nil { // three months of polls would take long
				t.Fatal(err)
			}
			time.Sleep(registry.CutOffLifetime - time.Minute)
			i.revoked.sweep()
			if !i.revoked.has(newTokenID(tokenID{1, secretTag("a")}), "app") {
				t.Errorf("%v is dropped too early", c.Kind)
			}
			time.Sleep(time.Until(begun.Add(registry.CutOffLifetime + time.Minute)))
			i.revoked.sweep()
			if i.revoked.has("a", "app") || !i.revoked.clients.empty() || !i.revoked.secrets.empty() {
				t.Errorf("%v is kept after its time", c.Kind)
			}
		})
	}
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
		synctest.Test(t, func(t *testing.T) { // so that a slow machine is no slow store
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
			if got := i.Status().Revocations; got != n {
				t.Errorf("%d live revocations, want %d", got, n)
			}
			put(t, store, registry.Change{Kind: registry.TokenRevoked, TokenID: "next"})
			if err := i.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			wantRevoked(t, i, "next", "app", time.Now(), true)
		})
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
		if got := i.Status().Revocations; got != 800+800 {
			t.Errorf("%d live revocations, want 800 tokens and 800 clients", got)
		}
	}
}
