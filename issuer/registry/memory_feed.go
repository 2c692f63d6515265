package registry

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// memoryFeed holds the latest change of each kind, token, client and secret, in the order
// of their sequences. Its zero value is empty.
type memoryFeed struct {
	entries  []Change
	dropped  int                // entries of the zero Kind, which have been dropped
	latest   map[feedName]int64 // the sequence of each that is there
	ofClient map[string]int     // how many TokenRevoked there are of a client
}

// feedName is what an entry is about.
type feedName struct {
	kind         Kind
	clientID, id string
}

func nameOf(c *Change) feedName {
	return feedName{c.Kind, c.ClientID, cmp.Or(c.TokenID, c.SecretID)}
}

// after returns the index of the first entry with a greater sequence.
func (f *memoryFeed) after(sequence int64) int {
	at, found := slices.BinarySearchFunc(f.entries, sequence, func(c Change, s int64) int { return cmp.Compare(c.Sequence, s) })
	if found {
		at++
	}
	return at
}

// find returns the entry about the same, or nil.
func (f *memoryFeed) find(c *Change) *Change {
	sequence, ok := f.latest[nameOf(c)]
	if !ok {
		return nil
	}
	return &f.entries[f.after(sequence)-1]
}

// add adds an entry at the end. It replaces the entry that is about the same. A cut-off of
// a client also replaces the revocations of its tokens.
func (f *memoryFeed) add(c Change) {
	if f.latest == nil {
		f.latest, f.ofClient = map[feedName]int64{}, map[string]int{}
	}
	if old := f.find(&c); old != nil {
		f.drop(old)
	}
	if c.Kind == ClientCutOff && f.ofClient[c.ClientID] > 0 {
		f.dropAll(func(t *Change) bool { return t.Kind == TokenRevoked && t.ClientID == c.ClientID })
	}
	f.entries = append(f.entries, c)
	f.latest[nameOf(&c)] = c.Sequence
	if c.Kind == TokenRevoked {
		f.ofClient[c.ClientID]++
	}
	f.compact()
}

// drop empties the entry without moving the others.
func (f *memoryFeed) drop(c *Change) {
	delete(f.latest, nameOf(c))
	if c.Kind == TokenRevoked {
		if f.ofClient[c.ClientID]--; f.ofClient[c.ClientID] == 0 {
			delete(f.ofClient, c.ClientID)
		}
	}
	*c = Change{Sequence: c.Sequence}
	f.dropped++
}

func (f *memoryFeed) dropAll(which func(*Change) bool) {
	for i := range f.entries {
		if c := &f.entries[i]; c.Kind != 0 && which(c) {
			f.drop(c)
		}
	}
}

// compact frees the memory of dropped entries when they are more than half.
func (f *memoryFeed) compact() {
	if 2*f.dropped <= len(f.entries) {
		return
	}
	kept := memoryFeed{latest: maps.Collect(maps.All(f.latest)), ofClient: maps.Collect(maps.All(f.ofClient))}
	kept.entries = make([]Change, 0, len(f.latest))
	for _, c := range f.entries {
		if c.Kind != 0 {
			kept.entries = append(kept.entries, c)
		}
	}
	*f = kept
}

// Revoke adds the change to the feed; see [Store].
func (m *Memory) Revoke(_ context.Context, c Change) (int64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	if err := m.lock(); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	return m.write(c), nil
}

// write adds a change to the feed. Sequences follow the clock, so that a cut-off
// has a greater one than the tokens of an earlier process.
func (m *Memory) write(c Change) int64 {
	now := m.now()
	if old := m.feed.find(&c); old != nil && c.Kind == TokenRevoked && !c.ExpiresAt.After(old.ExpiresAt) {
		return old.Sequence
	}
	m.sequence = max(m.sequence+1, now.UnixMicro())
	c.Sequence = m.sequence
	if c.Kind != TokenRevoked {
		c.ExpiresAt = now.Add(c.Kind.Lifetime())
	}
	m.feed.add(c)
	return c.Sequence
}

// announce writes that the client's record has changed.
func (m *Memory) announce(clientID string) {
	m.write(Change{Kind: ClientChanged, ClientID: clientID})
}

// maxPage is how many changes a page has.
const maxPage = 10_000

// Changes returns the changes after the sequence, at most 10 000.
func (m *Memory) Changes(_ context.Context, since int64) (Page, error) {
	if err := m.lock(); err != nil {
		return Page{}, err
	}
	defer m.mu.Unlock()
	now, steady := m.clock.read()
	page := Page{End: m.sequence}
	for _, c := range m.feed.entries[m.feed.after(since):] {
		if c.Kind == 0 || steady && !c.ExpiresAt.After(now) {
			continue
		}
		if page.More = len(page.Changes) == maxPage; page.More {
			break
		}
		page.Changes = append(page.Changes, c)
	}
	return page, nil
}

// prune drops the entries of a map that are gone. When they were more than half it
// returns a new map, because a map does not shrink.
func prune[K comparable, V any](m map[K]V, gone func(K, V) bool) map[K]V {
	before := len(m)
	maps.DeleteFunc(m, gone)
	if 2*len(m) >= before {
		return m
	}
	return maps.Collect(maps.All(m))
}
