package registry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a [Store] that keeps everything in memory, for tests and for
// programs whose clients come from configuration. What was revoked is forgotten
// when the process ends.
type Memory struct {
	mu       sync.RWMutex
	clients  map[string]*Client
	sequence int64
	feed     []Revocation
	once     map[[2]string]time.Time
	swept    time.Time
}

// NewMemory gives a store of the clients. The error names what is wrong with
// one of them.
func NewMemory(clients ...Client) (*Memory, error) {
	m := &Memory{clients: make(map[string]*Client, len(clients)), once: map[[2]string]time.Time{}}
	for _, c := range clients {
		if _, ok := m.clients[c.ID]; ok {
			return nil, fmt.Errorf("registry: two clients have the id %q", c.ID)
		}
		if err := m.Put(c); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.ID, err)
		}
	}
	return m, nil
}

// Put adds the client, or replaces the one with its id.
func (m *Memory) Put(c Client) error {
	if err := c.Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients[c.ID] = c.clone()
	return nil
}

// Client finds a client by its id.
func (m *Memory) Client(_ context.Context, id string) (*Client, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if c := m.clients[id]; c != nil {
		return c, nil
	}
	return nil, ErrNotFound
}

// Revoke adds the revocation to the feed.
func (m *Memory) Revoke(_ context.Context, r Revocation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	m.sequence++
	r.Sequence = m.sequence
	m.feed = append(m.feed, r)
	return nil
}

// Revocations returns the entries after the sequence.
func (m *Memory) Revocations(_ context.Context, since int64) ([]Revocation, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	now := time.Now()
	var entries []Revocation
	from, _ := slices.BinarySearchFunc(m.feed, since+1, func(r Revocation, sequence int64) int {
		return cmp.Compare(r.Sequence, sequence)
	})
	for _, r := range m.feed[from:] {
		if r.ExpiresAt.After(now) {
			entries = append(entries, r)
		}
		if len(entries) == maxEntries {
			break
		}
	}
	return entries, nil
}

// maxEntries is how much of the feed one call returns.
const maxEntries = 10_000

// Once reports whether this is the first call with the scope and id.
func (m *Memory) Once(_ context.Context, scope, id string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	key := [2]string{scope, id}
	if known, ok := m.once[key]; ok && known.After(time.Now()) {
		return false, nil
	}
	m.once[key] = until
	return true, nil
}

// sweep forgets what has expired, now and then.
func (m *Memory) sweep() {
	now := time.Now()
	if now.Sub(m.swept) < time.Minute {
		return
	}
	m.swept = now
	m.feed = slices.DeleteFunc(m.feed, func(r Revocation) bool { return !r.ExpiresAt.After(now) })
	maps.DeleteFunc(m.once, func(_ [2]string, until time.Time) bool { return !until.After(now) })
}
