package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// revokeOrder: the feed holds what was revoked, in order, and from any place on.
func revokeOrder(t *testing.T, open opener) {
	store := open(t)
	if entries, err := store.Revocations(t.Context(), 0); err != nil || len(entries) != 0 {
		t.Fatalf("a new store's feed: %v, %v", entries, err)
	}
	now := time.Now()
	want := []registry.Revocation{
		{TokenID: "jti-1", ClientID: "a", ExpiresAt: now.Add(time.Hour)},
		{ClientID: "a", NotBefore: now, ExpiresAt: now.Add(2 * time.Hour)},
		{ClientID: "a", ExpiresAt: now.Add(time.Hour)}, // the record has changed
		{TokenID: "jti-2", ExpiresAt: now.Add(time.Hour)},
		{ClientID: oddID, NotBefore: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour), Sequence: 1}, // Sequence is the store's
		{TokenID: oddID, ClientID: oddID, ExpiresAt: now.Add(time.Hour)},
	}
	for _, r := range want {
		if err := store.Revoke(t.Context(), r); err != nil {
			t.Fatalf("Revoke(%+v): %v", r, err)
		}
	}
	got := follow(t, store, 0)
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d: %+v", len(got), len(want), got)
	}
	for i, r := range got {
		w := want[i]
		if r.TokenID != w.TokenID || r.ClientID != w.ClientID || !roundedUp(r.NotBefore, w.NotBefore) || !roundedUp(r.ExpiresAt, w.ExpiresAt) {
			t.Errorf("entry %d: got %+v, want %+v", i, r, w)
		}
		if later := follow(t, store, r.Sequence); len(later) != len(want)-i-1 {
			t.Errorf("%d entries after entry %d, want %d", len(later), i, len(want)-i-1)
		}
	}
}

// revokeAgain: of two revocations of the same, what reaches further holds, for
// one who reads the feed from the start and for one who has read the first.
func revokeAgain(t *testing.T, open opener) {
	store := open(t)
	now := time.Now()
	long, short := now.Add(2*time.Hour), now.Add(time.Hour)
	for _, r := range []registry.Revocation{
		{TokenID: "a", ExpiresAt: short},
		{TokenID: "b", ExpiresAt: long},
		{ClientID: "c", NotBefore: now.Add(-time.Minute), ExpiresAt: long},
		{ClientID: "d", NotBefore: now, ExpiresAt: short},
	} {
		if err := store.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	first := follow(t, store, 0)
	for _, r := range []registry.Revocation{
		{TokenID: "a", ExpiresAt: long},
		{TokenID: "b", ExpiresAt: short},
		{ClientID: "c", NotBefore: now, ExpiresAt: short},
		{ClientID: "d", NotBefore: now.Add(-time.Minute), ExpiresAt: long},
	} {
		if err := store.Revoke(t.Context(), r); err != nil {
			t.Fatalf("Revoke of what is revoked: %v", err)
		}
	}
	for reader, entries := range map[string][]registry.Revocation{
		"from the start": follow(t, store, 0),
		"in two parts":   append(first, follow(t, store, first[len(first)-1].Sequence)...),
	} {
		notBefore, expires := map[string]time.Time{}, map[string]time.Time{}
		for _, r := range entries {
			name := r.TokenID + r.ClientID
			if r.NotBefore.After(notBefore[name]) {
				notBefore[name] = r.NotBefore
			}
			if r.ExpiresAt.After(expires[name]) {
				expires[name] = r.ExpiresAt
			}
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			if !roundedUp(expires[name], long) {
				t.Errorf("%s: %s expires %v, want %v", reader, name, expires[name], long)
			}
		}
		if !roundedUp(notBefore["c"], now) || !roundedUp(notBefore["d"], now) {
			t.Errorf("%s: the cut-offs are %v and %v, want %v", reader, notBefore["c"], notBefore["d"], now)
		}
	}
	// A record may change twice in a millisecond, and is news each time.
	last := int64(0)
	for range 5 {
		if err := store.Revoke(t.Context(), registry.Revocation{ClientID: "e", ExpiresAt: long}); err != nil {
			t.Fatal(err)
		}
		entries := follow(t, store, last)
		if len(entries) == 0 || entries[len(entries)-1].ClientID != "e" {
			t.Fatalf("a change of a client's record, announced again, is not in the feed: %+v", entries)
		}
		last = entries[len(entries)-1].Sequence
	}
}

// revokeExpiry: an entry is in the feed until it expires, and not after.
func revokeExpiry(t *testing.T, open opener) {
	store := open(t)
	soon := time.Now().Add(time.Second)
	for _, r := range []registry.Revocation{
		{TokenID: "gone", ExpiresAt: time.Now().Add(-time.Minute)},
		{TokenID: "soon", ExpiresAt: soon},
		{TokenID: "later", ExpiresAt: soon.Add(time.Hour)},
	} {
		if err := store.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got := names(follow(t, store, 0))
	if time.Now().Before(soon) && got != "[soon later]" {
		t.Errorf("got %s, want soon and later", got)
	}
	time.Sleep(time.Until(soon) + 10*time.Millisecond)
	if got := names(follow(t, store, 0)); got != "[later]" {
		t.Errorf("after the first has expired: got %s, want later", got)
	}
	if err := store.Revoke(t.Context(), registry.Revocation{TokenID: "last", ExpiresAt: soon.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := names(follow(t, store, 0)); got != "[later last]" {
		t.Errorf("got %s, want later and last", got)
	}
}

func names(entries []registry.Revocation) string {
	list := []string{}
	for _, r := range entries {
		list = append(list, r.TokenID)
	}
	return fmt.Sprint(list)
}

// revokeFollowed: who follows the feed while 50 goroutines write to it misses
// nothing, though he never looks back.
func revokeFollowed(t *testing.T, open opener) {
	store := open(t)
	const each = 10
	var writers sync.WaitGroup
	written := make(chan struct{})
	for n := range racers {
		writers.Go(func() {
			for i := range each {
				r := registry.Revocation{TokenID: fmt.Sprintf("%d-%d", n, i), ClientID: "c", ExpiresAt: time.Now().Add(time.Hour)}
				if err := store.Revoke(t.Context(), r); err != nil {
					t.Errorf("Revoke: %v", err)
				}
			}
		})
	}
	go func() {
		writers.Wait()
		close(written)
	}()
	seen := map[string]bool{}
	var since int64
	for done := false; !done; {
		select {
		case <-written:
			done = true // after one more look
		default:
		}
		for _, r := range follow(t, store, since) {
			if seen[r.TokenID] {
				t.Errorf("%s came twice", r.TokenID)
			}
			seen[r.TokenID], since = true, r.Sequence
		}
	}
	if len(seen) != racers*each {
		t.Errorf("the follower has seen %d of %d revocations", len(seen), racers*each)
	}
}

// follow reads the feed to its end, and checks that it is in order.
func follow(t *testing.T, store registry.Store, since int64) (all []registry.Revocation) {
	t.Helper()
	for {
		entries, err := store.Revocations(context.WithoutCancel(t.Context()), since)
		if err != nil {
			t.Fatalf("Revocations(%d): %v", since, err)
		}
		if len(entries) == 0 {
			return all
		}
		for _, r := range entries {
			if r.Sequence <= since {
				t.Fatalf("sequence %d after %d", r.Sequence, since)
			}
			since = r.Sequence
		}
		all = append(all, entries...)
	}
}
