package issuer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// storeFunc is a store of one func.
type storeFunc func(ctx context.Context, id string) (*registry.Client, error)

func (f storeFunc) Client(ctx context.Context, id string) (*registry.Client, error) {
	return f(ctx, id)
}

func (f storeFunc) Revoke(context.Context, registry.Change) (int64, error) { return 0, errStoreAway }

func (f storeFunc) Changes(context.Context, int64) (registry.Page, error) {
	return registry.Page{}, nil
}

func (f storeFunc) Once(context.Context, string, string, time.Time) (bool, error) {
	return false, errStoreAway
}

// watched counts the calls of a store, and can make them fail.
type watched struct {
	*registry.Memory
	reads, polls, writes atomic.Int64

	mu  sync.Mutex
	act func(ctx context.Context, method string) error // before each call
}

func (w *watched) Client(ctx context.Context, id string) (*registry.Client, error) {
	w.reads.Add(1)
	if err := w.before(ctx, "Client"); err != nil {
		return nil, err
	}
	return w.memory().Client(ctx, id)
}

func (w *watched) Revoke(ctx context.Context, c registry.Change) (int64, error) {
	w.writes.Add(1)
	if err := w.before(ctx, "Revoke"); err != nil {
		return 0, err
	}
	return w.memory().Revoke(ctx, c)
}

func (w *watched) Changes(ctx context.Context, since int64) (registry.Page, error) {
	w.polls.Add(1)
	if err := w.before(ctx, "Changes"); err != nil {
		return registry.Page{}, err
	}
	return w.memory().Changes(ctx, since)
}

func (w *watched) List(ctx context.Context, q registry.Query) ([]registry.Client, error) {
	return w.memory().List(ctx, q)
}

func (w *watched) Succeeded(ctx context.Context, networks []registry.ClientNetwork) error {
	return w.memory().Succeeded(ctx, networks)
}

func (w *watched) Networks(ctx context.Context, clientID string) ([]string, error) {
	return w.memory().Networks(ctx, clientID)
}

func (w *watched) LatestNetworks(ctx context.Context, limit int) ([]registry.ClientNetwork, error) {
	return w.memory().LatestNetworks(ctx, limit)
}

// memory returns the store behind it.
func (w *watched) memory() *registry.Memory {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Memory
}

// swap replaces the store behind it.
func (w *watched) swap(m *registry.Memory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Memory = m
}

func (w *watched) before(ctx context.Context, method string) error {
	w.mu.Lock()
	act := w.act
	w.mu.Unlock()
	if act == nil {
		return nil
	}
	return act(ctx, method)
}

// does sets a func to run before each call; nil for none.
func (w *watched) does(act func(ctx context.Context, method string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.act = act
}

var errDown = errors.New("pq: connection refused")

// down makes a call fail at once. hung makes it never answer.
func down(context.Context, string) error { return errDown }

func hung(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// at runs act for one method only.
func at(method string, act func(context.Context, string) error) func(context.Context, string) error {
	return func(ctx context.Context, called string) error {
		if called != method {
			return nil
		}
		return act(ctx, called)
	}
}

// put replaces a client in the store, and waits until the issuer has read the change.
func (s *service) put(t *testing.T, store interface{ Put(c registry.Client) error }, c registry.Client) {
	t.Helper()
	if err := store.Put(c); err != nil {
		t.Fatal(err)
	}
	if err := s.issuer.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}
