package issuer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"golang.org/x/sync/singleflight"
)

// registry is the store's clients, remembered for a moment, so that a client at
// work costs no query per token, and longer while the store is away. What the
// feed says has changed is dropped.
type clientCache struct {
	store      registry.Store
	clients    *bounded[*remembered]
	strangers  *bounded[*remembered] // ids that no client has, apart, so that a flood of them forgets no client
	flights    singleflight.Group
	generation atomic.Uint64             // counts drops: what was read before one is not remembered after it
	failed     atomic.Pointer[time.Time] // when the store last failed, or was asked since then; nil after it answered
}

type remembered struct {
	client *registry.Client // nil: there is none
	read   time.Time
}

const (
	clientFresh     = 10 * time.Second // how long the store is not asked again
	clientStale     = 5 * time.Minute  // how long the record serves while the store is away
	storePatience   = 3 * time.Second  // for one query
	storeRetry      = time.Second      // while the store is away, how often it is asked again
	maxRemembered   = 1 << 16
	errWrongClient  = constError("issuer: the store returned another client than was asked for, and no error")
	errStoreAway    = constError("issuer: the store failed a moment ago")
	errStoreStalled = constError("issuer: the store does not answer")
)

type constError string

func (e constError) Error() string { return string(e) }

func newClientCache(store registry.Store) *clientCache {
	return &clientCache{store: store, clients: newBounded[*remembered](maxRemembered, clientStale), strangers: newBounded[*remembered](maxRemembered, clientFresh)}
}

// client finds a client; nil when there is none. The error means that the store
// cannot tell. A stale record is one that may have changed while the store is
// away: good enough to let a client in, and not to turn one away.
func (r *clientCache) client(ctx context.Context, id string) (client *registry.Client, stale bool, err error) {
	if _, ok := r.store.(*registry.Memory); ok {
		client, err = r.read(ctx, id) // it is memory already
		return client, false, err
	}
	known, ok := r.clients.get(id)
	if !ok {
		known, ok = r.strangers.get(id)
	}
	if ok && time.Since(known.read) < clientFresh {
		return known.client, false, nil
	}
	client, err = r.refresh(ctx, id)
	if err != nil && ok && known.client != nil && time.Since(known.read) < clientStale {
		return known.client, true, nil
	}
	return client, false, err
}

// refresh asks the store, once for all who ask at the same time, whoever of them
// leaves. While the store fails, only one in a while waits to see if it still
// does.
func (r *clientCache) refresh(ctx context.Context, id string) (*registry.Client, error) {
	if at := r.failed.Load(); at != nil {
		now := time.Now()
		if now.Sub(*at) < storeRetry || !r.failed.CompareAndSwap(at, &now) {
			return nil, errStoreAway
		}
	}
	flight := r.flights.DoChan(id, func() (any, error) {
		generation := r.generation.Load()
		detached, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), storePatience, errStoreStalled)
		defer cancel()
		now := time.Now()
		client, err := r.read(detached, id)
		if err != nil && !errors.Is(err, errWrongClient) {
			failed := time.Now()
			r.failed.Store(&failed)
			return nil, err
		}
		r.failed.Store(nil)
		if err != nil {
			return nil, err // a fault of this id's, not of the store
		}
		r.remember(id, &remembered{client, now}, generation)
		return client, nil
	})
	select {
	case result := <-flight:
		client, _ := result.Val.(*registry.Client)
		return client, result.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *clientCache) remember(id string, found *remembered, generation uint64) {
	if found.client == nil {
		r.clients.drop(id)
		r.strangers.set(id, found)
	} else {
		r.clients.set(id, found)
	}
	if r.generation.Load() != generation {
		r.forget(id) // it may have been changed while it was read
	}
}

func (r *clientCache) forget(id string) {
	r.clients.drop(id)
	r.strangers.drop(id)
}

// drop forgets what is remembered of a client whose record has changed.
func (r *clientCache) drop(id string) {
	r.generation.Add(1)
	r.forget(id)
	r.flights.Forget(id)
}

// read asks the store: nil when there is no such client.
func (r *clientCache) read(ctx context.Context, id string) (*registry.Client, error) {
	client, err := r.store.Client(ctx, id)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case client == nil || client.ID != id:
		return nil, errWrongClient
	}
	return client, nil
}
