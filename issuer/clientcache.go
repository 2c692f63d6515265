package issuer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// clientCache caches the store's clients for a moment, so that a client at work
// costs no query per token, and for longer while the store is away. The follower
// evicts what the feed says has changed.
type clientCache struct {
	store      registry.Store
	clients    *bounded[*cachedClient]
	unknown    *bounded[*cachedClient] // ids that no client has, apart, so that a flood of them evicts no client
	lookups    *lookups
	flights    singleflight.Group
	generation atomic.Uint64             // counts evictions: a record that was read before one is not cached after it
	failed     atomic.Pointer[time.Time] // when the store last failed, or was tried since then; nil after it answered
}

type cachedClient struct {
	client *registry.Client // nil: there is none
	read   time.Time
}

const (
	clientFresh  = 10 * time.Second // how long a record is used without a query
	clientStale  = 5 * time.Minute  // how long a record is used while the store is away
	storeTimeout = 3 * time.Second  // of one query
	storeRetry   = time.Second      // while the store is away, how often it is tried
	maxCached    = 1 << 17

	errWrongClient  = constError("issuer: the store returned another client than was asked for, and no error")
	errStoreAway    = constError("issuer: the store failed a moment ago")
	errStoreStalled = constError("issuer: the store does not answer")
)

type constError string

func (e constError) Error() string { return string(e) }

func newClientCache(store registry.Store, lookups *lookups) *clientCache {
	return &clientCache{store: store, lookups: lookups, clients: newBounded[*cachedClient](maxCached, clientStale), unknown: newBounded[*cachedClient](maxUnknown, clientFresh)}
}

// client finds a client; nil when there is none. The error means that the store
// cannot tell. A stale record is one that may have changed while the store is
// away: it may let a client in, and may not turn one away.
func (c *clientCache) client(ctx context.Context, id, address string) (client *registry.Client, stale bool, err error) {
	cached, ok := c.cached(id)
	if ok && time.Since(cached.read) < clientFresh {
		return cached.client, false, nil
	}
	read, err := c.lookUp(ctx, id, address, ok && cached.client != nil)
	if err == nil {
		return read.client, false, nil
	}
	if ok && cached.client != nil && time.Since(cached.read) < clientStale {
		return cached.client, true, nil
	}
	return nil, false, err
}

// refresh queries the store, once for all who ask at the same time, also when the
// first of them leaves. While the store fails, one caller in storeRetry tries it. It
// has failed when a query for a client fails; one for an unknown id that times out
// may be the fault of the many that ask for such.
func (c *clientCache) refresh(ctx context.Context, id string, known bool) (*cachedClient, error) {
	if at := c.failed.Load(); at != nil {
		now := time.Now()
		if now.Sub(*at) < storeRetry || !c.failed.CompareAndSwap(at, &now) {
			return nil, errStoreAway
		}
	}
	flight := c.flights.DoChan(id, func() (any, error) {
		generation := c.generation.Load()
		detached, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), storeTimeout, errStoreStalled)
		defer cancel()
		now := time.Now()
		client, err := c.read(detached, id)
		if err != nil && !errors.Is(err, errWrongClient) {
			if failed := time.Now(); known || detached.Err() == nil {
				c.failed.Store(&failed)
			}
			return nil, err
		}
		c.failed.Store(nil)
		if err != nil {
			return nil, err // a fault of this id's, not of the store
		}
		read := &cachedClient{client, now}
		c.put(id, read, generation)
		return read, nil
	})
	select {
	case result := <-flight:
		read, _ := result.Val.(*cachedClient)
		return read, result.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *clientCache) put(id string, read *cachedClient, generation uint64) {
	if read.client == nil {
		c.clients.remove(id)
		c.unknown.set(id, read)
	} else {
		c.clients.set(id, read)
	}
	if c.generation.Load() != generation {
		c.remove(id) // it may have changed while it was read
	}
}

func (c *clientCache) remove(id string) {
	c.clients.remove(id)
	c.unknown.remove(id)
}

// evict drops a client whose record has changed. A query that is under way is not
// joined any more.
func (c *clientCache) evict(id string) {
	c.generation.Add(1)
	c.remove(id)
	c.flights.Forget(id)
}

// read queries the store; nil when there is no such client.
func (c *clientCache) read(ctx context.Context, id string) (*registry.Client, error) {
	client, err := c.store.Client(ctx, id)
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
