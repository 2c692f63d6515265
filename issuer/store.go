package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ErrNotFound is a [Store]'s answer for a client that does not exist.
var ErrNotFound = errors.New("issuer: not found")

// ErrConflict is a registry's answer to a change of a client that somebody else
// has changed since it was read, or to the registration of an id that is taken.
var ErrConflict = errors.New("issuer: changed by somebody else, or there already")

// Store is what the issuer asks of storage. Package sqlstore has one for SQLite
// and PostgreSQL; package storetest tests any. It must be safe for concurrent
// use, and its errors must tell "there is none" from "I cannot say".
type Store interface {
	// Client returns [ErrNotFound] when there is no such client; any other error
	// means that it cannot tell, and is answered 503. What it returns is not
	// changed by the issuer and must not be changed by the store afterwards.
	Client(ctx context.Context, id string) (*Client, error)

	// Revoke adds a revocation to the feed. When it returns nil the entry
	// survives a crash. Sequence is the store's to set.
	Revoke(ctx context.Context, r Revocation) error

	// Revocations returns the entries of the feed after a sequence, in order,
	// without those that have expired; some thousands at most. Fewer than 1000
	// must be all there are, else the caller asks again. Once it has returned a
	// sequence, no entry with a lower one may come up later. A feed that has been
	// set back, by a restored backup, so that it ends before the sequence, is
	// [ErrConflict], and is read from the start.
	Revocations(ctx context.Context, since int64) ([]Revocation, error)

	// Once reports true at the first call with the scope and id, and false at
	// every other until the time given, whichever replica calls: one atomic
	// step. An error means that it cannot tell.
	Once(ctx context.Context, scope, id string, until time.Time) (bool, error)
}

// Revocation is an entry of the feed that all replicas follow.
type Revocation struct {
	Sequence int64 // its place in the feed, from 1

	// TokenID is the jti of the token that is revoked. When it is empty, every
	// token of ClientID issued at or before NotBefore is; when that is zero
	// too, none is: the client's record has changed, and replicas drop what they
	// remember of it.
	TokenID   string
	ClientID  string
	NotBefore time.Time

	ExpiresAt time.Time // from then on the entry means nothing
}

// SecretUse tells when a secret last got a token. A [Store] that also has a
// method SecretsUsed(context.Context, []SecretUse) error is given these in
// batches, within a minute or so, never while a client waits.
type SecretUse struct {
	ClientID, SecretID string
	At                 time.Time
}

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
			return nil, fmt.Errorf("issuer: two clients have the id %q", c.ID)
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
