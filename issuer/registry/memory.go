package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Memory is a [Manager] that keeps everything in memory, for tests and for
// programs whose clients are configuration. Everything is lost when the process ends,
// revocations and replay records included. The zero value is an empty store.
//
// After the wall clock has jumped, nothing is dropped for a day, as on SQLite; see
// package sqlstore, "Clocks".
type Memory struct {
	mu       sync.Mutex
	clients  map[string]*Client
	sequence int64
	feed     memoryFeed
	once     map[[2]string]time.Time
	networks map[string][]ClientNetwork // of a client, the latest first
	swept    time.Time
	clock    memoryClock
}

var (
	_ Manager         = (*Memory)(nil)
	_ NetworkRecorder = (*Memory)(nil)
)

// NewMemory returns a store with the clients. The error names an invalid one.
func NewMemory(clients ...Client) (*Memory, error) {
	m := &Memory{}
	for _, c := range clients {
		if _, ok := m.clients[c.ID]; ok {
			return nil, fmt.Errorf("registry: two clients have the id %q", c.ID)
		}
		if err := m.Put(c); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.ID, err)
		}
	}
	m.feed, m.sequence = memoryFeed{}, 0 // no issuer has read the store yet
	return m, nil
}

var errNoMemory = errors.New("registry: the *Memory is nil: write registry.NewMemory()")

// lock locks the store, and drops what has expired.
func (m *Memory) lock() error {
	if m == nil {
		return errNoMemory
	}
	m.mu.Lock()
	if m.clients == nil {
		m.clients, m.once, m.networks = map[string]*Client{}, map[[2]string]time.Time{}, map[string][]ClientNetwork{}
	}
	m.sweep()
	return nil
}

// now returns the wall clock.
func (m *Memory) now() time.Time {
	now, _ := m.clock.read()
	return now
}

// Put adds the client, or replaces the one with its id, secrets included. Issuers
// follow within 2 s. It does not revoke tokens. [Memory.Delete] does, and so does
// [Memory.Update] of a client that is Disabled.
func (m *Memory) Put(c Client) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := m.lock(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	stored := c.Clone()
	now := m.now()
	stored.Version, stored.CreatedAt, stored.UpdatedAt = 1, now, now
	if old := m.clients[c.ID]; old != nil {
		stored.Version, stored.CreatedAt = old.Version+1, old.CreatedAt
	}
	m.clients[c.ID] = stored
	m.announce(c.ID)
	return nil
}

// Client returns a copy of the client with the id.
func (m *Memory) Client(_ context.Context, id string) (*Client, error) {
	if err := m.lock(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	c := m.clients[id]
	if c == nil {
		return nil, ErrNotFound
	}
	return c.Clone(), nil
}

// Once reports whether this is the first call with the scope and id.
func (m *Memory) Once(_ context.Context, scope, id string, until time.Time) (bool, error) {
	if err := m.lock(); err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	key := [2]string{scope, id}
	now, steady := m.clock.read()
	if known, ok := m.once[key]; ok && (known.After(now) || !steady) {
		return false, nil
	}
	m.once[key] = until
	return true, nil
}

// sweep drops what has expired, once a minute.
func (m *Memory) sweep() {
	now, steady := m.clock.read()
	if !steady || now.Sub(m.swept) < time.Minute {
		return
	}
	m.swept = now
	m.feed.dropAll(func(c *Change) bool { return !c.ExpiresAt.After(now.Add(-TokenGrace)) })
	m.feed.compact()
	m.sweepNetworks(now)
	m.once = prune(m.once, func(_ [2]string, until time.Time) bool { return !until.After(now) })
}
