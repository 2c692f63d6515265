package gateway

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// counts are the buckets of many callers, of a bounded number. A caller whose bucket is full,
// and who has no request under way, needs none: a new one would be the same. So the slot of
// such a caller is what a new caller gets.
type counts[K comparable] struct {
	seed   maphash.Seed
	lossy  bool      // if no caller is idle, the fullest bucket makes room; else the new caller is refused
	own    func(K) K // a copy that keeps nothing else in memory; nil: the key itself
	shards []countsShard[K]
}

type countsShard[K comparable] struct {
	mu       sync.Mutex
	byKey    map[K]*count[K]
	slots    []*count[K] // of byKey, in no order
	capacity int
	hand     int // the slot that is tried next for a new caller
}

// count is the bucket of one caller.
type count[K comparable] struct {
	key    K
	limit  Limit
	bucket *rate.Limiter // nil: no rate
	flying int           // requests under way
}

const (
	shardSize = 1024 // callers; a smaller number has one shard
	maxTries  = 8    // slots that a new caller tries
)

func newCounts[K comparable](capacity int, lossy bool) *counts[K] {
	n := 1
	for n < 256 && n*shardSize < capacity {
		n *= 2
	}
	c := &counts[K]{seed: maphash.MakeSeed(), lossy: lossy, shards: make([]countsShard[K], n)}
	for i := range c.shards {
		c.shards[i].byKey = map[K]*count[K]{}
		c.shards[i].capacity = max(1, (capacity+i)/n)
	}
	return c
}

func (c *counts[K]) shard(key K) *countsShard[K] {
	return &c.shards[maphash.Comparable(c.seed, key)%uint64(len(c.shards))]
}

// take takes one slot of what is under way. With now it takes one request from the bucket
// too. Without, it only asks that the bucket has one for each that is under way, and charge
// takes it later. release gives the slot back, once.
func (c *counts[K]) take(key K, limit Limit, now bool) (release func(charge bool), retryAfter time.Duration, ok bool) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now() // within the lock: a bucket whose time went back would fill twice
	of := c.get(s, key, limit, at)
	if of == nil {
		return nil, time.Second, false // all slots are in use
	}
	if limit.Concurrent > 0 && of.flying >= limit.Concurrent {
		return nil, time.Second, false // when one ends is not known
	}
	if of.bucket != nil {
		waiting := 0
		if !now {
			waiting = of.flying
		}
		if wait := of.wait(at, waiting+1); wait > 0 {
			return nil, wait, false
		}
		if now {
			of.bucket.AllowN(at, 1)
		}
	}
	if now && limit.Concurrent == 0 {
		return func(bool) {}, 0, true
	}
	of.flying++
	released := false
	return func(charge bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if released {
			return
		}
		released = true
		of.flying--
		if charge && of.bucket != nil {
			of.bucket.AllowN(time.Now(), 1)
		}
	}, 0, true
}

// charge takes one request from a bucket, as far as there is one.
func (c *counts[K]) charge(key K, limit Limit) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now() // within the lock: a bucket whose time went back would fill twice
	if of := c.get(s, key, limit, at); of != nil && of.bucket != nil {
		of.bucket.AllowN(at, 1)
	}
}

// get returns the bucket of a caller. It is nil if there is no slot for a new one.
func (c *counts[K]) get(s *countsShard[K], key K, limit Limit, at time.Time) *count[K] {
	of := s.byKey[key]
	if of != nil {
		of.follow(limit, at)
		return of
	}
	if c.own != nil {
		key = c.own(key)
	}
	of = &count[K]{key: key, limit: limit, bucket: newBucket(limit)}
	if len(s.slots) < s.capacity {
		s.slots = append(s.slots, of)
	} else {
		i := s.free(at, c.lossy)
		if i < 0 {
			return nil
		}
		delete(s.byKey, s.slots[i].key)
		s.slots[i] = of
	}
	s.byKey[key] = of
	return of
}

// free returns the slot of a caller that is idle. If all that it tries are in use, it returns
// with lossy the one that has used the least, and else -1.
func (s *countsShard[K]) free(at time.Time, lossy bool) int {
	least, found := math.Inf(1), -1
	for range min(maxTries, len(s.slots)) {
		i := s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		of := s.slots[i]
		if of.flying > 0 {
			continue
		}
		used := of.used(at)
		if used == 0 {
			return i
		}
		if lossy && used < least {
			least, found = used, i
		}
	}
	return found
}

// follow takes over a limit that has changed, as after a change of the policy.
func (of *count[K]) follow(limit Limit, at time.Time) {
	if of.limit == limit {
		return
	}
	of.limit = limit
	switch {
	case limit.Rate == 0:
		of.bucket = nil
	case of.bucket == nil:
		of.bucket = newBucket(limit)
	default:
		of.bucket.SetLimitAt(at, rate.Limit(limit.Rate))
		of.bucket.SetBurstAt(at, limit.burst())
	}
}

func newBucket(limit Limit) *rate.Limiter {
	if limit.Rate == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(limit.Rate), limit.burst())
}

// used returns which part of the bucket is missing, from 0 to 1.
func (of *count[K]) used(at time.Time) float64 {
	if of.bucket == nil {
		return 0
	}
	burst := float64(of.bucket.Burst())
	return max(0, burst-of.bucket.TokensAt(at)) / burst
}

// wait returns how long it takes until the bucket has n requests; 0 if it has.
func (of *count[K]) wait(at time.Time, n int) time.Duration {
	missing := float64(n) - of.bucket.TokensAt(at)
	if missing <= 0 {
		return 0
	}
	return max(time.Nanosecond, time.Duration(math.Min(math.Ceil(missing/of.limit.Rate*float64(time.Second)), float64(math.MaxInt64/2))))
}
