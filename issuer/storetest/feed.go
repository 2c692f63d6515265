package storetest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

func token(id string, expires time.Time) registry.Change {
	return registry.Change{Kind: registry.TokenRevoked, TokenID: id, ExpiresAt: expires}
}

func changed(clientID string) registry.Change {
	return registry.Change{Kind: registry.ClientChanged, ClientID: clientID}
}

func secretCutOff(clientID, secretID string) registry.Change {
	return registry.Change{Kind: registry.SecretCutOff, ClientID: clientID, SecretID: secretID}
}

// revoke writes a change, and returns its sequence.
func revoke(t *testing.T, store registry.Store, c registry.Change) int64 {
	t.Helper()
	sequence, err := store.Revoke(t.Context(), c)
	if err != nil {
		t.Fatalf("Revoke(%+v): %v", c, err)
	}
	return sequence
}

// feedOrder: the feed holds what was written, in order, and can be read from any sequence.
func feedOrder(t *testing.T, open opener) {
	store := open(t)
	if page, err := store.Changes(t.Context(), 0); err != nil || len(page.Changes) != 0 || page.End != 0 || page.More {
		t.Fatalf("a new store's feed: %+v, %v", page, err)
	}
	now := time.Now()
	ofClient, numbered := token("jti-1", now.Add(time.Hour)), registry.CutOff(oddID)
	ofClient.ClientID = "c"                                         // which is not cut off: a store may drop what a cut-off replaces
	numbered.Sequence, numbered.ExpiresAt = 1, now.Add(time.Second) // set by the store
	odd := token(oddID, now.Add(time.Hour))
	odd.ClientID = oddID
	want := []registry.Change{
		ofClient, registry.CutOff("a"), changed("a"), token("jti-2", now.Add(time.Hour)), numbered, odd,
		secretCutOff("a", "jti-1"), secretCutOff("a", "s"), secretCutOff("b", "s"), secretCutOff(oddID, oddID), {Kind: registry.AllCutOff}, registry.CutOff("b"),
	}
	last := now.UnixMicro() - int64(time.Minute/time.Microsecond) // the clocks may differ
	for i, c := range want {
		want[i].Sequence = revoke(t, store, c)
		if want[i].Sequence <= last {
			t.Errorf("Revoke returned the sequence %d after %d", want[i].Sequence, last)
		}
		last = want[i].Sequence
	}
	got := follow(t, store, 0)
	if len(got) != len(want) {
		t.Fatalf("%d changes, want %d: %+v", len(got), len(want), got)
	}
	for i, c := range got {
		w := want[i]
		if c.Kind != w.Kind || c.TokenID != w.TokenID || c.ClientID != w.ClientID || c.SecretID != w.SecretID {
			t.Errorf("change %d: got %+v, want %+v", i, c, w)
		}
		if w.Kind == registry.TokenRevoked && !roundedUp(c.ExpiresAt, w.ExpiresAt) || w.Kind != registry.TokenRevoked && !isKept(c) {
			t.Errorf("change %d: got %+v, want %+v and its lifetime", i, c, w)
		}
		if c.Sequence != w.Sequence {
			t.Errorf("change %d has the sequence %d, and Revoke returned %d", i, c.Sequence, w.Sequence)
		}
		if later := follow(t, store, c.Sequence); len(later) != len(want)-i-1 {
			t.Errorf("%d changes after change %d, want %d", len(later), i, len(want)-i-1)
		}
	}
}

// isKept reports whether a change stays in the feed for the lifetime of its kind.
func isKept(c registry.Change) bool {
	return (time.Until(c.ExpiresAt) - c.Kind.Lifetime()).Abs() < time.Minute
}

// feedRefuses: an invalid change is not written.
func feedRefuses(t *testing.T, open opener) {
	store := open(t)
	later := time.Now().Add(time.Hour)
	for _, c := range []registry.Change{
		{}, {Kind: registry.TokenRevoked, TokenID: "a"}, {Kind: registry.TokenRevoked, ExpiresAt: later}, {TokenID: "a", ExpiresAt: later},
		{Kind: registry.ClientCutOff}, {Kind: registry.ClientChanged}, {Kind: registry.SecretCutOff, ClientID: "a"}, {Kind: registry.AllCutOff, ClientID: "a"},
		{Kind: registry.ClientCutOff, ClientID: "a", SecretID: "s"}, {Kind: registry.SecretCutOff, SecretID: "s"},
	} {
		if sequence, err := store.Revoke(t.Context(), c); err == nil {
			t.Errorf("Revoke(%+v) = %d, want an error", c, sequence)
		}
	}
	if got := follow(t, store, 0); len(got) != 0 {
		t.Errorf("in the feed: %+v", got)
	}
}

// feedEnd: a page has the end of the feed, expired changes included. A caller that has
// read further sees that the feed was set back.
func feedEnd(t *testing.T, open opener) {
	store := open(t)
	revoke(t, store, token("a", time.Now().Add(time.Hour)))
	last := revoke(t, store, token("b", time.Now().Add(-time.Minute)))
	for _, since := range []int64{0, last, last + 1000} {
		page, err := store.Changes(t.Context(), since)
		if err != nil || page.End != last || page.More || (len(page.Changes) != 0) != (since == 0) {
			t.Errorf("Changes(%d) = %+v, %v, want the end %d", since, page, err, last)
		}
	}
}

// feedAgain: of two revocations of a token the longer one counts. A repeated cut-off gets
// a new sequence. Both hold for a caller that reads the feed from the start and for one
// that has read the first revocations.
func feedAgain(t *testing.T, open opener) {
	store := open(t)
	now := time.Now()
	long, short := now.Add(2*time.Hour), now.Add(time.Hour)
	repeated := []registry.Change{registry.CutOff("a"), secretCutOff("a", "s"), {Kind: registry.AllCutOff}, changed("a")}
	for _, c := range append(repeated, token("a", short), token("b", long)) {
		revoke(t, store, c)
	}
	first := follow(t, store, 0)
	last := first[len(first)-1].Sequence
	want := map[registry.Change]int64{} // the latest sequence of each, without what the store sets
	for _, c := range repeated {
		sequence := revoke(t, store, c)
		if sequence <= last {
			t.Errorf("%v again has the sequence %d, after %d", c.Kind, sequence, last)
		}
		last, want[c] = sequence, sequence
	}
	tokens := []int64{revoke(t, store, token("a", long)), revoke(t, store, token("b", short))}
	there := map[registry.Change]int{}
	for _, c := range follow(t, store, 0) {
		c.Sequence, c.ExpiresAt = 0, time.Time{}
		there[c]++
	}
	for _, c := range repeated {
		if there[c] != 1 && c.Kind != registry.ClientChanged {
			t.Errorf("%v is in the feed %d times: a later cut-off replaces the earlier one", c.Kind, there[c])
		}
	}
	inFeed := map[int64]bool{}
	for reader, changes := range map[string][]registry.Change{
		"from the start": follow(t, store, 0),
		"in two parts":   append(first, follow(t, store, first[len(first)-1].Sequence)...),
	} {
		got, expires := map[registry.Change]int64{}, map[string]time.Time{}
		for _, c := range changes {
			inFeed[c.Sequence] = true
			sequence := c.Sequence
			if c.Kind == registry.TokenRevoked {
				if c.ExpiresAt.After(expires[c.TokenID]) {
					expires[c.TokenID] = c.ExpiresAt
				}
				continue
			}
			c.Sequence, c.ExpiresAt = 0, time.Time{}
			got[c] = sequence
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", reader, got, want)
		}
		if !roundedUp(expires["a"], long) || !roundedUp(expires["b"], long) {
			t.Errorf("%s: the tokens expire at %v, want %v", reader, expires, long)
		}
	}
	if !inFeed[tokens[0]] || !inFeed[tokens[1]] {
		t.Errorf("Revoke returned the sequences %d, which are not in the feed", tokens)
	}
}

// feedExpiry: a change is in the feed until it expires.
func feedExpiry(t *testing.T, open opener) {
	store := open(t)
	soon := time.Now().Add(time.Second)
	for _, c := range []registry.Change{token("gone", time.Now().Add(-time.Minute)), token("soon", soon), token("later", soon.Add(time.Hour))} {
		revoke(t, store, c)
	}
	if got := names(follow(t, store, 0)); time.Now().Before(soon) && got != "[soon later]" && got != "[gone soon later]" {
		t.Errorf("got %s, want soon and later", got)
	}
	time.Sleep(time.Until(soon) + 10*time.Millisecond)
	revoke(t, store, token("last", soon.Add(time.Hour)))
	got := follow(t, store, 0)
	if kept := names(got[max(0, len(got)-2):]); kept != "[later last]" {
		t.Errorf("got %s, want later and last", kept)
	}
}

func names(changes []registry.Change) string {
	list := []string{}
	for _, c := range changes {
		list = append(list, c.TokenID)
	}
	return fmt.Sprint(list)
}

// feedFollowed: a reader that follows the feed while 50 goroutines write to it misses
// nothing and reads nothing twice. Each writer gets the sequence that is in the feed.
func feedFollowed(t *testing.T, open opener) {
	store := open(t)
	const each = 10
	var writers sync.WaitGroup
	var mu sync.Mutex
	returned := map[string]int64{}
	written := make(chan struct{})
	for n := range racers {
		writers.Go(func() {
			for i := range each {
				c := token(fmt.Sprintf("%d-%d", n, i), time.Now().Add(time.Hour))
				c.ClientID = "c"
				sequence, err := store.Revoke(t.Context(), c)
				if err != nil {
					t.Errorf("Revoke: %v", err)
				}
				mu.Lock()
				returned[c.TokenID] = sequence
				mu.Unlock()
			}
		})
	}
	go func() {
		writers.Wait()
		close(written)
	}()
	seen := map[string]int64{}
	var since int64
	for done := false; !done; {
		select {
		case <-written:
			done = true // after one more read
		default:
		}
		changes, end := followTo(t, store, since)
		for _, c := range changes {
			if _, twice := seen[c.TokenID]; twice {
				t.Errorf("%s was read twice", c.TokenID)
			}
			seen[c.TokenID] = c.Sequence
		}
		since = end // as the issuer does
	}
	if len(seen) != racers*each {
		t.Errorf("the follower has seen %d of %d changes", len(seen), racers*each)
	}
	for id, sequence := range returned {
		if seen[id] != sequence {
			t.Errorf("%s: the feed has the sequence %d, Revoke returned %d", id, seen[id], sequence)
		}
	}
}

// follow reads the feed to its end, and checks that it is in order.
func follow(t *testing.T, store registry.Store, since int64) []registry.Change {
	t.Helper()
	all, _ := followTo(t, store, since)
	return all
}

// followTo also returns where the end was.
func followTo(t *testing.T, store registry.Store, since int64) (all []registry.Change, end int64) {
	t.Helper()
	for {
		page, err := store.Changes(context.WithoutCancel(t.Context()), since)
		if err != nil {
			t.Fatalf("Changes(%d): %v", since, err)
		}
		for _, c := range page.Changes {
			if c.Sequence <= since || c.Sequence > page.End {
				t.Fatalf("sequence %d after %d, in a feed that ends at %d", c.Sequence, since, page.End)
			}
			since = c.Sequence
		}
		all = append(all, page.Changes...)
		switch {
		case !page.More:
			return all, page.End
		case len(page.Changes) == 0:
			t.Fatalf("Changes(%d): an empty page says that more follow", since)
		}
	}
}
