package middleware

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patrickmn/go-cache"
)

// verdicts remembers the tokens that were verified, to the letter, and what they
// say, from the second time on that they come: what comes once leaves no more than
// a hash behind. Whoever finds one here still checks all that can have changed
// since. A nil *verdicts remembers nothing.
//
// It is cut in shards, each a go-cache, so that no lock covers much. go-cache
// knows no bound, and its sweep holds readers up: a ring beside it bounds each
// shard, and what has expired is dropped a few places at a time.
type verdicts struct {
	seed   maphash.Seed
	door   []atomic.Uint64 // what has come lately: in each, marks of the last four tokens of that hash
	shards []shard
	limit  int // tokens of one client at the most

	mu      sync.Mutex // the last to be taken
	clients map[string]*share
	scope   string // the latest new one of any client: others mostly have the same
}

// shard is a map, and the latest of what is in there at hand: to read the map is to
// write to its lock, which all cores would do for a token that all requests bring.
// For those who write it has the tokens in a ring, with a hand that goes round in
// search of one to drop. A token in use is never dropped for another.
type shard struct {
	known *cache.Cache              // tail of verdict.raw → *verdict; no expiry in there, so a hit reads the clock once
	seats []atomic.Pointer[verdict] // by hash, the latest that known was given, unless it was dropped
	mu    sync.Mutex                // of those who write
	ring  []*verdict                // what known holds
	hand  int
	broom int // another hand, in search of what has expired
	limit int
}

// share is what a client has here.
type share struct {
	tokens int
	latest *client // as of its latest token: the next one mostly says the same
}

const (
	shardSize = 768  // tokens at the most: Go's maps double above 896
	useLasts  = 60   // seconds since a token came, after which it is not in use
	dropStep  = 16   // places looked at for a token to drop
	sweepStep = 4    // and for expired ones, whenever one is added
	divisor   = 4    // one client gets one in so many places
	maxLength = 4096 // of a token that is remembered, in bytes
	maxNames  = 8    // in the aud of such a token
)

// newVerdicts remembers limit tokens at the most.
func newVerdicts(limit int) *verdicts {
	shards := (limit + shardSize - 1) / shardSize
	v := &verdicts{
		seed: maphash.MakeSeed(), door: make([]atomic.Uint64, limit), shards: make([]shard, shards),
		limit: max(1, limit/divisor), clients: map[string]*share{},
	}
	for i := range v.shards {
		v.shards[i].known = cache.New(cache.NoExpiration, 0) // no janitor, so nothing to close
		v.shards[i].limit = limit / shards
		v.shards[i].seats = make([]atomic.Pointer[verdict], 1<<bits.Len(uint(limit/shards)))
	}
	return v
}

// tail is the end of a token, 256 bits of its signature: as good as the whole to
// find it by, and quicker. Nobody can choose it, so nobody can fill one shard
// alone. The whole is compared when something is found.
func tail(raw string) string { return raw[max(0, len(raw)-43):] }

// hash is of the last 16 characters of a tail, 96 bits.
func (s *verdicts) hash(end string) uint64 {
	return maphash.String(s.seed, end[max(0, len(end)-16):])
}

// shard goes by the upper end of a hash, and without a division.
func (s *verdicts) shard(hash uint64) *shard {
	at, _ := bits.Mul64(hash, uint64(len(s.shards)))
	return &s.shards[at]
}

// get finds a token by its text.
func (s *verdicts) get(raw string) *verdict {
	if s == nil {
		return nil
	}
	end := tail(raw)
	hash := s.hash(end)
	shard := s.shard(hash)
	if v := shard.seat(hash).Load(); v != nil && v.raw == raw {
		return v
	}
	found, _ := shard.known.Get(end)
	v, ok := found.(*verdict)
	if !ok || v.raw != raw {
		return nil
	}
	return v
}

// cameBefore reports whether a token with the hash has come already, unless some
// four times as many others as there are places have since. That it takes one for
// another costs a place at worst.
func (s *verdicts) cameBefore(hash uint64) bool {
	const width, all = 16, 1<<16 - 1
	mark := max(1, hash>>(64-width)) // 0 is nobody's
	at := &s.door[hash%uint64(len(s.door))]
	marks := at.Load()
	for m := marks; m != 0; m >>= width {
		if m&all == mark {
			return true
		}
	}
	at.Store(marks<<width | mark) // of two at once, one may not count
	return false
}

// put remembers a token that has just been verified and found good, if it is not
// its first time and there is room for it or something to drop. v is not anybody
// else's yet: it is moved to memory of its own.
func (s *verdicts) put(v *verdict, now time.Time) {
	if s == nil || len(v.raw) > maxLength || len(v.audience()) > maxNames {
		return
	}
	end := tail(v.raw)
	hash := s.hash(end)
	if !s.cameBefore(hash) {
		return
	}
	v.comes(now)
	shard := s.shard(hash)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	s.sweep(shard, now)
	if found, ok := shard.known.Get(end); ok {
		// Two have verified it at once, or its key is another object now.
		if old, ok := found.(*verdict); ok && old.raw == v.raw {
			v.settle(old.client)
			shard.set(hash, v, int(old.place))
		}
		return
	}
	c, tooMany := s.arrives(v.client)
	place := len(shard.ring)
	if tooMany || place >= shard.limit {
		var of *client
		if tooMany {
			of = c
		}
		if place = shard.unused(of, now); place < 0 {
			s.leaves(c)
			return
		}
		s.drop(shard, place)
	}
	v.settle(c)
	shard.set(hash, v, place)
}

// seat is where a token with the hash is at hand.
func (s *shard) seat(hash uint64) *atomic.Pointer[verdict] {
	return &s.seats[hash&uint64(len(s.seats)-1)]
}

// set puts a token in a place that is free, or at the end of the ring.
func (s *shard) set(hash uint64, v *verdict, place int) {
	if place == len(s.ring) {
		s.ring = append(s.ring, nil)
	}
	s.ring[place], v.place = v, uint32(place)
	s.known.Set(tail(v.raw), v, cache.NoExpiration)
	s.seat(hash).Store(v)
}

// drop forgets the token in a place, and leaves that free.
func (s *verdicts) drop(shard *shard, place int) {
	v := shard.ring[place]
	end := tail(v.raw)
	shard.known.Delete(end)
	shard.seat(s.hash(end)).CompareAndSwap(v, nil)
	shard.ring[place] = nil
	s.leaves(v.client)
}

// unused looks on for a place whose token is not in use; of this client, unless
// that is nil. It is negative if there is none near.
func (s *shard) unused(of *client, now time.Time) int {
	for range min(dropStep, len(s.ring)) {
		v, place := s.next(&s.hand)
		if (of == nil || v.client.id == of.id) && !v.inUse(now) {
			return place
		}
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

// arrives counts a token of a client in, and says whether that is one too many.
// It gives the client in memory that may be kept.
func (s *verdicts) arrives(c *client) (kept *client, tooMany bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := s.clients[c.id]
	switch {
	case has == nil:
		has = &share{latest: &client{id: strings.Clone(c.id), scope: s.keep(c.scope)}}
		s.clients[has.latest.id] = has
	case has.latest.scope != c.scope:
		has.latest = &client{id: has.latest.id, scope: s.keep(c.scope)}
	}
	has.tokens++
	return has.latest, has.tokens > s.limit
}

func (s *verdicts) keep(scope string) string {
	if s.scope != scope {
		s.scope = strings.Clone(scope)
	}
	return s.scope
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
