package issuer

import (
	"hash/maphash"
	"time"

	"github.com/patrickmn/go-cache"
)

// bounded is a cache of limited capacity whose entries expire. go-cache has no
// capacity. It is sharded, so that a sweep holds one shard's lock for a moment.
type bounded[V any] struct {
	seed     maphash.Seed
	shards   [16]*cache.Cache
	capacity int // of a shard
}

func newBounded[V any](capacity int, ttl time.Duration) *bounded[V] {
	b := &bounded[V]{seed: maphash.MakeSeed(), capacity: max(1, capacity/16)}
	for i := range b.shards {
		b.shards[i] = cache.New(ttl, cache.NoExpiration) // no janitor: set sweeps
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

// set keeps the value for the TTL from now. A full shard drops its expired
// entries, or all of them if none has expired: everything here can be recomputed.
func (b *bounded[V]) set(key string, value V) {
	shard := b.shard(key)
	if shard.ItemCount() >= b.capacity {
		if _, known := shard.Get(key); !known {
			if shard.DeleteExpired(); shard.ItemCount() >= b.capacity {
				shard.Flush()
			}
		}
	}
	shard.SetDefault(key, value)
}

func (b *bounded[V]) remove(key string) { b.shard(key).Delete(key) }

func (b *bounded[V]) clear() {
	for _, shard := range b.shards {
		shard.Flush()
	}
}
