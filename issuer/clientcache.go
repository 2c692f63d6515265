package issuer

import (
	"context"
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// clientCache caches the store's clients for seconds, so that an active client costs no
// query per token, and for minutes while the store is away. Changes in the feed evict
// records. The follower's lag decides how old a record may be.
type clientCache struct {
	store     registry.Store
	feed      *follower
	clients   *bounded[*cachedClient]
	unknown   *bounded[*cachedClient] // unknown ids, in a map of their own, so that a flood of them evicts no client
	lookups   *lookups
	seen      func(*registry.Client)             // is called with each record that was read
	flights   atomic.Pointer[singleflight.Group] // replaced when all are evicted
	evictions evictions
	failed    atomic.Pointer[time.Time] // when the store last failed or was last retried; nil while it answers
}

// cachedClient is a record with the time at which it was read.
type cachedClient struct {
	client *registry.Client // nil: an unknown id
	number int64            // for its tokens: the sequence of the feed before the record was read
	read   time.Time
}

const (
	clientFresh  = 10 * time.Second // how long a record is used without a query
	clientBlind  = time.Second      // the same, while the feed is not followed
	clientStale  = 5 * time.Minute  // how long a record is used while the store is away, unless MaxRevocationLag is less
	storeTimeout = 3 * time.Second  // of one query
	storeRetry   = time.Second      // between two queries while the store is away
	maxCached    = 1 << 17

	errWrongClient  = constError("issuer: the store returned a client with another id, and no error")
	errStoreAway    = constError("issuer: the store failed less than a second ago")
	errStoreStalled = constError("issuer: the store does not answer")
)

type constError string

func (e constError) Error() string { return string(e) }

func newClientCache(store registry.Store, feed *follower, lookups *lookups) *clientCache {
	c := &clientCache{store: store, feed: feed, lookups: lookups, seen: func(*registry.Client) {}, clients: newBounded[*cachedClient](maxCached, clientStale), unknown: newBounded[*cachedClient](maxUnknown, clientFresh)}
	c.evictions.seed = maphash.MakeSeed()
	c.flights.Store(new(singleflight.Group))
	return c
}

// found is what the cache knows of a client id.
type found struct {
	client *registry.Client // nil: an unknown id
	number int64            // for its tokens

	// stale is whether the store is away, so that the record may have changed. A stale
	// record may admit a client. It may not refuse one.
	stale bool
}

// client finds a client, for a request from the address. The error means that the store
// could not answer. While the feed is not followed, changes evict nothing, so records
// are used for a shorter time. Before the first poll, and after MaxRevocationLag, cached
// records are not used.
func (c *clientCache) client(ctx context.Context, id, address string) (found, error) {
	lag, behind := c.feed.lag(ctx)
	cached, ok := c.cached(id)
	fresh := clientFresh
	if lag > followPromise {
		fresh = clientBlind
	}
	if ok && behind == nil && elapsed(cached.read) < fresh {
		return found{cached.client, cached.number, false}, nil
	}
	read, err := c.lookUp(ctx, id, address, ok && cached.client != nil)
	if err == nil {
		return found{read.client, read.number, false}, nil
	}
	if !ok || cached.client == nil || elapsed(cached.read) >= clientStale {
		return found{}, err
	}
	if _, behind := c.feed.lag(ctx); behind != nil { // the query may have taken that long
		return found{}, err
	}
	return found{cached.client, cached.number, true}, nil
}

// refresh queries the store. Concurrent callers with the same id share one query, which
// goes on when the first of them leaves. While the store fails, one caller per
// storeRetry tries it. A failed query for a client means that the store fails. A query
// for an unknown id that times out, here or by a shorter timeout of the store's own,
// does not: a flood of unknown ids may have caused it.
func (c *clientCache) refresh(ctx context.Context, id string, known bool) (*cachedClient, error) {
	if at := c.failed.Load(); at != nil {
		now := time.Now()
		if now.Sub(*at) < storeRetry || !c.failed.CompareAndSwap(at, &now) {
			return nil, errStoreAway
		}
	}
	flight := c.flights.Load().DoChan(id, func() (any, error) {
		generation, number := c.evictions.of(id), c.feed.sequence.Load()
		detached, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), storeTimeout, errStoreStalled)
		defer cancel()
		now := time.Now()
		client, err := c.read(detached, id)
		if err != nil && !errors.Is(err, errWrongClient) {
			if failed := time.Now(); known || failed.Sub(now) < storeTimeout/2 {
				c.failed.Store(&failed)
			}
			return nil, err
		}
		c.failed.Store(nil)
		if err != nil {
			return nil, err // a fault of this record, not of the store
		}
		read := &cachedClient{client, number, now}
		c.put(id, read, generation)
		c.seen(client)
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
	if c.evictions.of(id) != generation {
		c.remove(id) // it may have changed after it was read
	}
}

func (c *clientCache) remove(id string) {
	c.clients.remove(id)
	c.unknown.remove(id)
}

// evict drops a client whose record has changed. Later callers do not join a query that
// is under way.
func (c *clientCache) evict(id string) {
	c.evictions.add(id)
	c.remove(id)
	c.flights.Load().Forget(id)
}

// evictAll drops every record. Later callers do not join queries that are under way.
func (c *clientCache) evictAll() {
	c.evictions.all.Add(1)
	c.flights.Store(new(singleflight.Group))
	c.clients.clear()
	c.unknown.clear()
}

// evictions counts the evictions of each client, so that a record that was read before
// an eviction is not cached after it. Several clients share a count.
type evictions struct {
	seed maphash.Seed
	all  atomic.Uint64 // of all clients at once
	some [4096]atomic.Uint64
}

func (e *evictions) at(id string) *atomic.Uint64 {
	return &e.some[maphash.String(e.seed, id)%uint64(len(e.some))]
}

func (e *evictions) add(id string) { e.at(id).Add(1) }

// of returns a number that changes with every eviction of the id.
func (e *evictions) of(id string) uint64 { return e.all.Load() + e.at(id).Load() }

// read queries the store. It returns nil if there is no such client.
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
