package issuer

import (
	"container/list"
	"hash/maphash"
	"maps"
	"sync"
	"time"
)

// bounded is a map of limited capacity. All entries have the same TTL, so the oldest is
// the next to expire. A full shard evicts its oldest entry, or with weigh the lightest
// of a sample.
type bounded[V any] struct {
	seed   maphash.Seed
	shards [16]shard[V]
}

type shard[V any] struct {
	mu       sync.RWMutex
	weight   func(V) int64 // nil: the oldest is evicted
	ttl      time.Duration
	capacity int
	entries  map[string]*list.Element
	order    list.List // of *entry[V], the oldest in front
	peak     int       // the most entries that this map has had
}

type entry[V any] struct {
	key     string
	value   V
	expires time.Time
}

// sweepStep is how many expired entries each set drops, so that a shard in use shrinks
// in small steps.
const sweepStep = 2

// evictSample is how many entries are weighed for one eviction.
const evictSample = 16

func newBounded[V any](capacity int, ttl time.Duration) *bounded[V] {
	b := &bounded[V]{seed: maphash.MakeSeed()}
	for i := range b.shards {
		s := &b.shards[i]
		s.ttl, s.capacity, s.entries = ttl, max(1, capacity/len(b.shards)), map[string]*list.Element{}
	}
	return b
}

// weigh makes a full shard evict the entry with the least weight of evictSample random
// ones. So an entry that is heavier than most is hardly ever evicted.
func (b *bounded[V]) weigh(weight func(V) int64) {
	for i := range b.shards {
		b.shards[i].weight = weight
	}
}

func (b *bounded[V]) shard(key string) *shard[V] {
	return &b.shards[maphash.String(b.seed, key)%uint64(len(b.shards))]
}

func (b *bounded[V]) get(key string) (value V, ok bool) {
	s := b.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.find(key); e != nil && !time.Now().After(e.expires) {
		return e.value, true
	}
	return value, false
}

// set sets the value. Its TTL starts now.
func (b *bounded[V]) set(key string, value V) {
	s := b.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value, time.Now())
}

// getOrSet returns the value of the key. If there is none, it sets what create returns.
// The TTL starts now in either case.
func (b *bounded[V]) getOrSet(key string, create func() V) V {
	s := b.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if e := s.find(key); e != nil && !now.After(e.expires) {
		s.set(key, e.value, now)
		return e.value
	}
	value := create()
	s.set(key, value, now)
	return value
}

func (b *bounded[V]) remove(key string) {
	s := b.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if element := s.entries[key]; element != nil {
		s.drop(element)
	}
}

// removeIf removes the entry of the key if f returns true for its value.
func (b *bounded[V]) removeIf(key string, f func(V) bool) {
	s := b.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if element := s.entries[key]; element != nil && f(s.at(element).value) {
		s.drop(element)
	}
}

// len returns the number of entries, expired ones included.
func (b *bounded[V]) len() (n int) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.RLock()
		n += len(s.entries)
		s.mu.RUnlock()
	}
	return n
}

// clear drops everything.
func (b *bounded[V]) clear() {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		s.entries, s.peak = map[string]*list.Element{}, 0
		s.order.Init()
		s.mu.Unlock()
	}
}

// sweep drops expired entries. set does so too, but a map that is not in use has no
// calls of set.
func (b *bounded[V]) sweep() {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		s.dropExpired(time.Now(), len(s.entries))
		s.mu.Unlock()
	}
}

func (s *shard[V]) find(key string) *entry[V] {
	element := s.entries[key]
	if element == nil {
		return nil
	}
	return s.at(element)
}

// at returns the entry of an element. Every element has one.
func (s *shard[V]) at(element *list.Element) *entry[V] {
	e, _ := element.Value.(*entry[V])
	return e
}

func (s *shard[V]) set(key string, value V, now time.Time) {
	s.dropExpired(now, sweepStep)
	if element := s.entries[key]; element != nil {
		e := s.at(element)
		e.value, e.expires = value, now.Add(s.ttl)
		s.order.MoveToBack(element)
		return
	}
	if len(s.entries) >= s.capacity {
		s.evict()
	}
	s.entries[key] = s.order.PushBack(&entry[V]{key, value, now.Add(s.ttl)})
	s.peak = max(s.peak, len(s.entries))
}

// evict drops one entry.
func (s *shard[V]) evict() {
	if s.weight == nil {
		s.drop(s.order.Front())
		return
	}
	var lightest *list.Element
	least, sampled := int64(0), 0
	for _, element := range s.entries { // in random order
		if weight := s.weight(s.at(element).value); lightest == nil || weight < least {
			lightest, least = element, weight
		}
		if sampled++; sampled == evictSample {
			break
		}
	}
	s.drop(lightest)
}

func (s *shard[V]) dropExpired(now time.Time, limit int) {
	for range limit {
		oldest := s.order.Front()
		if oldest == nil || !now.After(s.at(oldest).expires) {
			return
		}
		s.drop(oldest)
	}
}

// minPeak is the size below which copying a map does not pay.
const minPeak = 64

// drop removes an entry. A Go map does not shrink, so drop copies it once it is a
// quarter full.
func (s *shard[V]) drop(element *list.Element) {
	s.order.Remove(element)
	delete(s.entries, s.at(element).key)
	if s.peak < minPeak || len(s.entries) > s.peak/4 {
		return
	}
	smaller := make(map[string]*list.Element, len(s.entries))
	maps.Copy(smaller, s.entries)
	s.entries, s.peak = smaller, len(smaller)
}
