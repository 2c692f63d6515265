package issuer

import (
	"context"
	"strconv"
	"time"
)

// lookups bounds the queries for ids that are not cached as clients. Any caller can cause
// such a query before it has authenticated. Few run at once, and networks take turns. Ids
// that were clients recently go ahead. So a flood of unknown ids delays only callers
// with unknown ids.
type lookups struct {
	queue   *fairQueue
	flights sharedCalls[*cachedClient]
	recent  *bounded[struct{}] // ids that were clients at their last lookup
}

const (
	lookupSlots   = 8
	lookupLine    = 64   // waiters of one network
	lookupWaiters = 4096 // waiters of all networks
	recentFor     = time.Hour
	maxUnknown    = 1 << 14

	errLookupBusy = constError("issuer: the query had to wait for too long")
	errLookupLeft = constError("issuer: the caller left while its query ran")
)

func newLookups() *lookups {
	return &lookups{queue: newFairQueue(lookupSlots, lookupLine, lookupWaiters), recent: newBounded[struct{}](maxCached, recentFor)}
}

// recentlyClient reports whether the id was a client within recentFor.
func (l *lookups) recentlyClient(id string) bool {
	_, ok := l.recent.get(id)
	return ok
}

// lookUp reads a record from the store. An id that is cached as a client does not wait.
// Any other id waits for its turn; with the query that takes storeTimeout at most.
// Callers of one network with the same id share one slot, unless a record was evicted
// between them.
func (c *clientCache) lookUp(ctx context.Context, id, address string, cached bool) (read *cachedClient, err error) {
	if cached {
		read, err = c.refresh(ctx, id, true)
	} else {
		read, err = c.lookUpInTurn(ctx, id, networkOf(address))
	}
	if err == nil && read.client != nil {
		c.lookups.recent.set(id, struct{}{})
	}
	return read, err
}

func (c *clientCache) lookUpInTurn(ctx context.Context, id, network string) (*cachedClient, error) {
	begun, known := time.Now(), c.lookups.recentlyClient(id)
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errLookupBusy)
	defer cancel()
	key := strconv.FormatUint(c.evictions.of(id), 10) + " " + network + " " + id // neither a number nor a network has a space
	found, started, err := c.lookups.flights.do(bound, key, func(ctx context.Context, begin func() bool) (*cachedClient, error) {
		if err := c.lookups.queue.acquire(ctx, network, known); err != nil {
			return nil, err
		}
		defer c.lookups.queue.release()
		if read, ok := c.cached(id); ok && read.read.After(begun) {
			return read, nil // a caller of another network has read it
		}
		if !begin() {
			return nil, errLookupBusy
		}
		return c.refresh(context.WithoutCancel(ctx), id, known) // the slot is held as long as the query runs
	})
	if err != nil && started && ctx.Err() != nil {
		return nil, errLookupLeft
	}
	return found, err
}

// cached returns the cached record of the id, fresh or not.
func (c *clientCache) cached(id string) (*cachedClient, bool) {
	if read, ok := c.clients.get(id); ok {
		return read, true
	}
	return c.unknown.get(id)
}

// atOnce reports whether a request with the id waits for no turn: the id is cached, or
// was a client recently.
func (c *clientCache) atOnce(id string) bool {
	_, cached := c.cached(id)
	return cached || c.lookups.recentlyClient(id)
}

func (c *clientCache) sweep() {
	c.clients.sweep()
	c.unknown.sweep()
	c.lookups.recent.sweep()
}
