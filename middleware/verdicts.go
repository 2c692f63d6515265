package middleware

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patrickmn/go-cache"
)

// verdicts remembers the tokens that were verified, to the letter, and what they
// say. Whoever finds one here still checks all that can have changed since. A nil
// *verdicts remembers nothing.
//
// It is cut in shards, each a go-cache, so that no lock covers much. go-cache
// knows no bound, and its sweep holds readers up: a ring beside it bounds each
// shard, and what has expired is dropped a few places at a time.
type verdicts struct {
	seed   maphash.Seed
	shards []shard
	limit  int // tokens of one client at the most

	mu      sync.Mutex // the last to be taken
	clients map[string]*share
}

// shard is a map, which is all that readers see, and for those who write a clock:
// the tokens in a ring, whose hand drops what nobody has used since it last came
// by. What is used survives maxUses rounds without, so that tokens which come
// once cannot push it out.
type shard struct {
	known *cache.Cache // verdict.raw → *verdict; no expiry in there, so a hit reads the clock once
	mu    sync.Mutex   // of those who write
	ring  []*verdict   // what known holds
	hand  int          // of the clock
	broom int          // of the search for what has expired
	limit int
}

// share is what a client has here.
type share struct {
	tokens int
	latest *client // as of its latest token: the next one mostly says the same
}

const (
	shardSize = 1 << 10 // tokens at the most
	maxUses   = 3
	sweepStep = 4 // places looked at for expired tokens when one is added
	oneIn     = 4 // of the places, which one client can take
)

// newVerdicts remembers limit tokens at the most.
func newVerdicts(limit int) *verdicts {
	shards := 1
	for limit/shards > shardSize {
		shards *= 2
	}
	v := &verdicts{seed: maphash.MakeSeed(), shards: make([]shard, shards), limit: max(1, limit/oneIn), clients: map[string]*share{}}
	for i := range v.shards {
		v.shards[i].known = cache.New(cache.NoExpiration, 0) // no janitor, so nothing to close
		v.shards[i].limit = limit / shards
	}
	return v
}

// shard goes by the end of a token: a part of its signature, which nobody can
// choose, so that nobody can fill one shard alone.
func (s *verdicts) shard(raw string) *shard {
	const tail = 16
	return &s.shards[maphash.String(s.seed, raw[max(0, len(raw)-tail):])%uint64(len(s.shards))]
}

// get finds a token by its text.
func (s *verdicts) get(raw string) *verdict {
	if s == nil {
		return nil
	}
	found, _ := s.shard(raw).known.Get(raw)
	v, ok := found.(*verdict)
	if !ok {
		return nil
	}
	if uses := atomic.LoadUint32(&v.uses); uses < maxUses {
		atomic.StoreUint32(&v.uses, uses+1) // of two at once, one may not count
	}
	return v
}

// put remembers a token that has just been verified and found good, if there is
// room for it or something to drop. v is not anybody else's yet: it is moved to
// memory of its own.
func (s *verdicts) put(v *verdict, now time.Time) {
	if s == nil {
		return
	}
	shard := s.shard(v.raw)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	s.sweep(shard, now)
	if found, ok := shard.known.Get(v.raw); ok {
		if old, ok := found.(*verdict); ok { // two have verified it at once, or its key is another object now
			v.settle(old.client)
			shard.set(v, int(old.place))
		}
		return
	}
	c, tooMany := s.arrives(v.client)
	place := len(shard.ring)
	if tooMany || place >= shard.limit {
		of := c
		if !tooMany {
			of = nil
		}
		if place = shard.unused(of, now); place < 0 {
			s.leaves(c)
			return
		}
		s.drop(shard, place)
	}
	v.settle(c)
	shard.set(v, place)
}

// set puts a token in a place that is free, or at the end of the ring.
func (s *shard) set(v *verdict, place int) {
	if place == len(s.ring) {
		s.ring = append(s.ring, nil)
	}
	s.ring[place], v.place = v, uint32(place)
	s.known.Set(v.raw, v, cache.NoExpiration)
}

// drop forgets the token in a place, and leaves that free.
func (s *verdicts) drop(shard *shard, place int) {
	v := shard.ring[place]
	shard.known.Delete(v.raw)
	shard.ring[place] = nil
	s.leaves(v.client)
}

// unused is a place whose token may go: expired, or not used for long; of this
// client, unless that is nil. It is negative if there is none.
func (s *shard) unused(of *client, now time.Time) int {
	for range (maxUses + 1) * len(s.ring) {
		v, place := s.next(&s.hand)
		if of != nil && v.client.id != of.id {
			continue
		}
		uses := atomic.LoadUint32(&v.uses)
		if uses == 0 || v.expired(now) {
			return place
		}
		atomic.StoreUint32(&v.uses, uses-1)
	}
	return -1
}

// next moves a hand on, and gives what it was at.
func (s *shard) next(hand *int) (v *verdict, place int) {
	if *hand >= len(s.ring) {
		*hand = 0
	}
	place = *hand
	*hand++
	return s.ring[place], place
}

// sweep drops what has expired from the next few places.
func (s *verdicts) sweep(shard *shard, now time.Time) {
	for range min(sweepStep, len(shard.ring)) {
		v, place := shard.next(&shard.broom)
		if !v.expired(now) {
			continue
		}
		s.drop(shard, place)
		last := len(shard.ring) - 1
		shard.ring[place], shard.ring[last] = shard.ring[last], nil
		shard.ring = shard.ring[:last]
		if place < last {
			shard.ring[place].place = uint32(place)
		}
	}
}

// client is what a token says of its client: the record that its latest token
// had, if it says the same.
func (s *verdicts) client(id, scope string) *client {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c := s.clients[id]; c != nil && c.latest.scope == scope {
			return c.latest
		}
	}
	return &client{id: id, scope: scope}
}

// arrives counts a token of a client in, and says whether that is one too many.
// It gives the client in memory that may be kept.
func (s *verdicts) arrives(c *client) (kept *client, tooMany bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := s.clients[c.id]
	switch {
	case has == nil:
		kept = &client{id: strings.Clone(c.id), scope: strings.Clone(c.scope)}
		has = &share{latest: kept}
		s.clients[kept.id] = has
	case has.latest.scope != c.scope:
		has.latest = &client{id: has.latest.id, scope: strings.Clone(c.scope)}
	}
	has.tokens++
	return has.latest, has.tokens > s.limit
}

// leaves counts a token out.
func (s *verdicts) leaves(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := s.clients[c.id]
	if has.tokens--; has.tokens == 0 {
		delete(s.clients, c.id)
	}
}
