package issuer

import (
	"hash/maphash"
	"time"

	"github.com/patrickmn/go-cache"
)

// bounded is a map whose entries expire and whose size has a limit, which
// go-cache lacks. It is cut in shards, so that a sweep, which holds its shard's
// lock, is over in a moment.
type bounded[V any] struct {
	seed   maphash.Seed
	shards [16]*cache.Cache
	limit  int // of a shard
}

func newBounded[V any](limit int, life time.Duration) *bounded[V] {
	b := &bounded[V]{seed: maphash.MakeSeed(), limit: max(1, limit/16)}
	for i := range b.shards {
		b.shards[i] = cache.New(life, cache.NoExpiration) // no janitor: set sweeps
	}
	return b
}

func (b *bounded[V]) shard(key string) *cache.Cache {
	return b.shards[maphash.String(b.seed, key)%uint64(len(b.shards))]
}

func (b *bounded[V]) get(key string) (value V, ok bool) {
	found, ok := b.shard(key).Get(key)
	if !ok {
		return value, false
	}
	value, ok = found.(V)
	return value, ok
}

// set keeps the value for the map's lifetime from now. A full shard drops what
// has expired, and everything if that is nothing: what is in here can always be
// found out again.
func (b *bounded[V]) set(key string, value V) {
	shard := b.shard(key)
	if shard.ItemCount() >= b.limit {
		if _, known := shard.Get(key); !known {
			if shard.DeleteExpired(); shard.ItemCount() >= b.limit {
				shard.Flush()
			}
		}
	}
	shard.SetDefault(key, value)
}

func (b *bounded[V]) drop(key string) { b.shard(key).Delete(key) }
