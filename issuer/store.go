package issuer

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrNotFound is a [Store]'s answer for a client that does not exist.
var ErrNotFound = errors.New("issuer: not found")

// Store is what the issuer asks of a client registry.
//
// Client returns [ErrNotFound] when there is no such client, and any other
// error when it cannot tell: the two are answered differently (401 and 503).
// The client it returns is not changed by the issuer and must not be changed by
// the store afterwards. It must be safe for concurrent use.
type Store interface {
	Client(ctx context.Context, id string) (*Client, error)
}

// Memory is a [Store] that keeps clients in memory, for tests and for programs
// whose clients come from configuration.
type Memory struct {
	mu      sync.RWMutex
	clients map[string]*Client
}

// NewMemory gives a store of the clients. The error names what is wrong with
// one of them.
func NewMemory(clients ...Client) (*Memory, error) {
	m := &Memory{clients: make(map[string]*Client, len(clients))}
	for _, c := range clients {
		if _, ok := m.clients[c.ID]; ok {
			return nil, fmt.Errorf("issuer: two clients have the id %q", c.ID)
		}
		if err := m.Put(c); err != nil {
			return nil, err
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
