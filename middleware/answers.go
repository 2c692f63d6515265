package middleware

import (
	"container/list"
	"crypto/sha256"
	"maps"
	"sync/atomic"
	"time"

	"github.com/patrickmn/go-cache"
)

const (
	maxAnswers      = 10_000
	maxOwnAnswers   = maxAnswers / 4 // of one client
	shrinkFromCount = 1000           // a smaller map is not worth a copy
)

// answers caches the answers of the issuer, and counts those of each client, and its open
// questions. go-cache has no capacity, and its map never shrinks. So a full cache evicts
// its oldest answer here, a client at its quota evicts its own oldest, and a cache that is
// only a quarter full is copied into a smaller map. The caller of get needs no lock; the
// callers of the other methods do.
type answers struct {
	cached  atomic.Pointer[cache.Cache] // digest of a jti → *cachedAnswer
	order   *list.List                  // of *cachedAnswer, oldest first
	shares  map[string]*share           // by digest of a client id
	largest int                         // that cached has been
}

// cachedAnswer is the answer about one token: whether it is revoked, or the error.
type cachedAnswer struct {
	revoked bool
	err     error

	id      string
	until   time.Time
	of      *share
	in, own *list.Element // in order, and in of.order
}

// share is the part of one client.
type share struct {
	client string     // digest
	flying int        // requests under way
	order  *list.List // of its *cachedAnswer, oldest first
}

// digest has the same length for every jti and client id, also for long ones.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return string(sum[:])
}

func newAnswers() *answers {
	a := &answers{order: list.New(), shares: map[string]*share{}}
	a.cached.Store(newAnswerCache())
	return a
}

// newAnswerCache has no janitor, so there is nothing to stop.
func newAnswerCache() *cache.Cache { return cache.New(cache.NoExpiration, cache.NoExpiration) }

func (a *answers) get(id string) (known *cachedAnswer, ok bool) {
	found, _ := a.cached.Load().Get(id)
	known, ok = found.(*cachedAnswer)
	return known, ok
}

// share returns the share of a client. release drops one that is empty.
func (a *answers) share(client string) *share {
	s := a.shares[client]
	if s == nil {
		s = &share{client: client, order: list.New()}
		a.shares[client] = s
	}
	return s
}

func (a *answers) release(s *share) {
	if s.flying == 0 && s.order.Len() == 0 {
		delete(a.shares, s.client)
	}
}

// put caches an answer about a token of s for some time.
func (a *answers) put(id string, s *share, revoked bool, err error, ttl time.Duration) {
	now := time.Now()
	for oldest, ok := first(a.order); ok && (a.order.Len() >= maxAnswers || !now.Before(oldest.until)); oldest, ok = first(a.order) {
		a.remove(oldest)
	}
	if oldest, ok := first(s.order); ok && s.order.Len() >= maxOwnAnswers {
		a.remove(oldest)
	}
	added := &cachedAnswer{revoked: revoked, err: err, id: id, until: now.Add(ttl), of: s}
	added.in, added.own = a.order.PushBack(added), s.order.PushBack(added)
	a.cached.Load().Set(id, added, ttl)
	a.largest = max(a.largest, a.order.Len())
	a.shrink(now)
}

func first(l *list.List) (oldest *cachedAnswer, ok bool) {
	if front := l.Front(); front != nil {
		oldest, ok = front.Value.(*cachedAnswer)
	}
	return oldest, ok
}

func (a *answers) remove(old *cachedAnswer) {
	a.order.Remove(old.in)
	old.of.order.Remove(old.own)
	if kept, ok := a.get(old.id); !ok || kept == old { // not a later answer
		a.cached.Load().Delete(old.id)
	}
	a.release(old.of)
}

// shrink copies the answers into a smaller map.
func (a *answers) shrink(now time.Time) {
	if a.largest < shrinkFromCount || a.order.Len() > a.largest/4 {
		return
	}
	smaller := newAnswerCache()
	for e := a.order.Front(); e != nil; e = e.Next() {
		if kept, ok := e.Value.(*cachedAnswer); ok && now.Before(kept.until) {
			smaller.Set(kept.id, kept, kept.until.Sub(now))
		}
	}
	a.cached.Store(smaller)
	shares := make(map[string]*share, len(a.shares))
	maps.Copy(shares, a.shares)
	a.shares, a.largest = shares, a.order.Len()
}
