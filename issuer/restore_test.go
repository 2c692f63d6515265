package issuer

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// names counts the changes of the feed by what they are about.
func names(t *testing.T, store registry.Store) map[changeName]int {
	t.Helper()
	page, err := store.Changes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	count := map[changeName]int{}
	for _, c := range page.Changes {
		count[nameOf(c)]++
	}
	return count
}

// After an older state of the store was restored, replicas that kept running write again
// what they know to be revoked, each cut-off once, and report it in one event. A replica
// that starts later refuses all of it. Tokens that were granted since are valid.
func TestRestoredOlder(t *testing.T) {
	for name, writtenSince := range map[string]bool{"at once": false, "written to before a poll": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other := app()
				other.ID = "other"
				clients := []registry.Client{app(), other}
				store := &watched{Memory: newStore(t, clients...)}
				a, b := newService(t, Config{Store: store}), newService(t, Config{Store: store})
				one, cutOff, kept := a.wantToken(t, a.post(appForm)), b.wantToken(t, b.post(secretOf("other"))), b.wantToken(t, b.post(appForm))
				put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: "in the backup"})
				if err := a.issuer.RevokeToken(t.Context(), one.claims.ID, time.Time{}); err != nil {
					t.Fatal(err)
				}
				for n := range 20 {
					revokeToken(t, b.issuer, strconv.Itoa(n), time.Now().Add(time.Hour))
				}
				if err := b.issuer.RevokeClient(t.Context(), "other"); err != nil {
					t.Fatal(err)
				}
				if err := b.issuer.RevokeSecret(t.Context(), "app", "leaked"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				after := b.wantToken(t, b.post(secretOf("other")))

				backup := newStore(t, clients...)
				store.swap(backup)
				put(t, backup, registry.Change{Kind: registry.TokenRevoked, TokenID: "in the backup"})
				if writtenSince {
					put(t, backup, registry.Change{Kind: registry.TokenRevoked, TokenID: "new"})
				}
				for range 10 { // known revocations count all the time
					for _, s := range []*service{a, b} {
						if !s.revoked(t, one) || !s.revoked(t, cutOff) || s.revoked(t, kept) {
							t.Fatal("a replica has lost a revocation that it knew")
						}
					}
					time.Sleep(time.Second)
				}
				for _, s := range []*service{a, b} {
					s.wantOne(t, event.OpFollow, event.StateOlder)
					if got := s.issuer.Status(); got.Restoring != 0 || got.FollowError != nil {
						t.Errorf("%+v", got)
					}
				}

				count := names(t, store)
				for _, name := range []changeName{{kind: registry.ClientCutOff, clientID: "other"}, {kind: registry.SecretCutOff, clientID: "app", id: "leaked"}} {
					if count[name] != 1 {
						t.Errorf("%+v: %d times", name, count[name])
					}
				}
				if _, twice := count[changeName{kind: registry.ClientCutOff, clientID: "app"}]; twice {
					t.Error("a client that was not cut off")
				}
				for n := range 20 {
					if got := count[changeName{kind: registry.TokenRevoked, id: strconv.Itoa(n)}]; got < 1 || got > 2 {
						t.Errorf("token %d: %d times", n, got)
					}
				}
				late := newService(t, Config{Store: store})
				for g, want := range map[*granted]bool{one: true, cutOff: true, kept: false} {
					if got := late.revoked(t, g); got != want {
						t.Errorf("a replica that started later: revoked %v, want %v", got, want)
					}
				}
				// The restored cut-off costs the client one more token.
				if !late.revoked(t, after) || late.revoked(t, b.wantToken(t, b.post(secretOf("other")))) {
					t.Error("the token after the cut-off")
				}
				time.Sleep(10 * time.Minute)
				if got := names(t, store)[changeName{kind: registry.ClientCutOff, clientID: "other"}]; got > 1 {
					t.Errorf("%d cut-offs ten minutes later", got)
				}
			})
		})
	}
}

// lossy is a store that fails over to a replica which lacks the last commits, and whose
// clock is behind.
type lossy struct {
	*registry.Memory
	mu     sync.Mutex
	feed   []registry.Change
	end    int64
	behind time.Duration
}

func (l *lossy) Revoke(_ context.Context, c registry.Change) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().Add(-l.behind)
	l.end = max(l.end+1, now.UnixMicro())
	if c.Sequence = l.end; c.Kind != registry.TokenRevoked {
		c.ExpiresAt = now.Add(c.Kind.Lifetime())
	}
	l.feed = append(l.feed, c)
	return l.end, nil
}

func (l *lossy) Changes(_ context.Context, since int64) (registry.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := registry.Page{End: l.end}
	for _, c := range l.feed {
		if c.Sequence > since {
			page.Changes = append(page.Changes, c)
		}
	}
	return page, nil
}

func (l *lossy) failOver(behind time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.feed, l.end, l.behind = l.feed[:1], l.feed[0].Sequence, behind
}

// After a failover that lost a cut-off, tokens of a replica that never read it have numbers
// below it, and replicas that know it refuse them. That ends when one of those has written
// the cut-off again.
func TestFailoverHeals(t *testing.T) {
	for name, behind := range map[string]time.Duration{"clocks agree": 0, "its clock is behind": 45 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, lost := range []registry.Change{registry.CutOff("app"), {Kind: registry.AllCutOff}, {Kind: registry.SecretCutOff, ClientID: "app", SecretID: appStored.ID}} {
					store := &lossy{Memory: newStore(t, app())}
					put(t, store, registry.Change{Kind: registry.TokenRevoked, TokenID: "first"})
					knows := newService(t, Config{Store: store})
					stolen := knows.wantToken(t, knows.post(appForm))
					time.Sleep(time.Minute)
					put(t, store, lost)
					time.Sleep(followPromise)
					store.failOver(behind)
					late := newService(t, Config{Store: store})
					early := late.wantToken(t, late.post(appForm))
					if !knows.revoked(t, early) {
						t.Errorf("%v: a token that was numbered below a known cut-off is good", lost.Kind)
					}
					time.Sleep(behind + restoreWithin + 2*followPromise + behind/2)
					next := late.wantToken(t, late.post(appForm))
					for _, s := range []*service{knows, late, newService(t, Config{Store: store})} {
						if !s.revoked(t, stolen) || s.revoked(t, next) {
							t.Errorf("%v: the stolen token is revoked: %v, a new one: %v", lost.Kind, s.revoked(t, stolen), s.revoked(t, next))
						}
					}
					if len(store.feed) > 15 {
						t.Errorf("%v: %d entries in the feed", lost.Kind, len(store.feed))
					}
				}
			})
		})
	}
}

// The store may be away while revocations are restored. Expired ones are not restored.
func TestRestoredInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		wantRevoked(t, s.issuer, "none", "app", time.Now(), false)
		revokeToken(t, s.issuer, "short", time.Now().Add(time.Minute))
		revokeToken(t, s.issuer, "long", time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		store.swap(newStore(t, app()))
		store.does(at("Revoke", down))
		time.Sleep(5 * time.Second)
		if got := s.issuer.Status().Restoring; got != 2 {
			t.Errorf("%d to be restored, want 2", got)
		}
		time.Sleep(10 * time.Minute)
		store.does(nil)
		time.Sleep(5 * time.Second)
		count := names(t, store)
		if count[changeName{kind: registry.TokenRevoked, id: "long"}] != 1 || s.issuer.Status().Restoring != 0 {
			t.Errorf("%v, %+v", count, s.issuer.Status())
		}
		s.wantOne(t, event.OpFollow, event.StateOlder)
	})
}

// A feed whose last entry was replaced or covered by a later one does not count as set back.
func TestNotRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		var mu sync.Mutex
		feed := []registry.Change{}
		fake := &feedFunc{Memory: store.Memory, changes: func(since int64) (registry.Page, error) {
			mu.Lock()
			defer mu.Unlock()
			page := registry.Page{End: feed[len(feed)-1].Sequence}
			for _, c := range feed {
				if c.Sequence > since {
					page.Changes = append(page.Changes, c)
				}
			}
			return page, nil
		}}
		s := newService(t, Config{Store: fake})
		later := time.Now().Add(24 * time.Hour)
		feed = []registry.Change{{Sequence: 5, Kind: registry.TokenRevoked, TokenID: "a", ClientID: "app", ExpiresAt: later}}
		wantRevoked(t, s.issuer, "a", "app", time.Now(), true)
		for _, next := range []registry.Change{
			{Sequence: 6, Kind: registry.ClientCutOff, ClientID: "app", ExpiresAt: later},
			{Sequence: 7, Kind: registry.ClientCutOff, ClientID: "app", ExpiresAt: later},
			{Sequence: 8, Kind: registry.AllCutOff, ExpiresAt: later},
			{Sequence: 9, Kind: registry.AllCutOff, ExpiresAt: later},
		} {
			mu.Lock()
			if next.Sequence == 8 {
				feed = append(feed, next) // it replaces no cut-off of a client
			} else {
				feed[len(feed)-1] = next
			}
			mu.Unlock()
			time.Sleep(time.Second)
		}
		if got := s.of(event.OpFollow); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// If the feed was set back to before revocations that the ledger has dropped, one entry
// revokes all tokens. Otherwise none does.
func TestLedgerBounded(t *testing.T) {
	l := newLedger()
	l.limit = 100
	later := time.Now().Add(time.Hour)
	for n := range 150 {
		l.add(registry.Change{Sequence: int64(n + 1), Kind: registry.TokenRevoked, TokenID: fmt.Sprint(n), ExpiresAt: later})
		l.add(registry.Change{Sequence: int64(n + 1), Kind: registry.ClientCutOff, ClientID: "always", ExpiresAt: later})
	}
	if len(l.entries) != 100 || len(l.order) > 200 {
		t.Errorf("%d entries, %d in order", len(l.entries), len(l.order))
	}
	if l.dropped.sequence < 49 || l.dropped.sequence > 52 {
		t.Errorf("dropped up to %d", l.dropped.sequence)
	}
	l.setBack()
	l.coverDropped(l.dropped.sequence)
	if got := l.lacking(); len(got) != 100 || got[0].Kind != registry.ClientCutOff {
		t.Errorf("%d are lacking, the first %+v", len(got), got[0])
	}
	l.coverDropped(10)
	got := l.lacking()
	if got[0].Kind != registry.AllCutOff {
		t.Errorf("first %+v", got[0])
	}
	l.add(registry.Change{Sequence: 1000, Kind: registry.AllCutOff, ExpiresAt: later}) // written
	if got := l.lacking(); len(got) != 0 {
		t.Errorf("still lacking: %+v", got)
	}
	l.sweep()
	if len(l.order) != len(l.entries) {
		t.Errorf("%d entries, %d in order", len(l.entries), len(l.order))
	}
}
