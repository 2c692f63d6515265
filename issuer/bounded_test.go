package issuer

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// entries counts what is kept, expired or not.
func entries[V any](b *bounded[V]) int {
	n := 0
	for _, shard := range b.shards {
		n += shard.ItemCount()
	}
	return n
}

func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded[int](1600, time.Minute)
		want := func(key string, value int, ok bool) {
			t.Helper()
			if got, found := b.get(key); got != value || found != ok {
				t.Errorf("%s: %d, %v, want %d, %v", key, got, found, value, ok)
			}
		}
		want("a", 0, false)
		b.set("a", 1)
		b.set("b", 2)
		want("a", 1, true)
		b.set("a", 3)
		want("a", 3, true)
		b.remove("a")
		b.remove("never there")
		want("a", 0, false)
		want("b", 2, true)

		// A set starts the TTL anew.
		b.set("a", 1)
		time.Sleep(time.Minute)
		b.set("a", 2)
		time.Sleep(time.Nanosecond)
		want("b", 0, false)
		time.Sleep(time.Minute - time.Nanosecond)
		want("a", 2, true)
		time.Sleep(time.Nanosecond)
		want("a", 0, false)
	})
}

// The limit holds. A full shard drops what has expired, or, if nothing has, all
// that is in it: what was set last is always there.
func TestBoundedLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1600
		b := newBounded[int](limit, time.Minute)
		fill := func(n int) {
			t.Helper()
			for k := range n {
				key := strconv.Itoa(k)
				b.set(key, k)
				if got, ok := b.get(key); got != k || !ok {
					t.Fatalf("%s is not there", key)
				}
				if got := entries(b); got > limit {
					t.Fatalf("%d entries", got)
				}
			}
		}
		fill(10 * limit)
		if got := entries(b); got < limit/4 {
			t.Errorf("%d entries after a flood", got)
		}

		// Of one shard: the young survive the old.
		b = newBounded[int](limit, time.Minute)
		var same []string // keys of one shard
		for k := 0; len(same) < 151; k++ {
			if key := strconv.Itoa(k); b.shard(key) == b.shard("0") {
				same = append(same, key)
			}
		}
		for k, key := range same[:50] {
			b.set(key, k)
		}
		time.Sleep(time.Minute + time.Nanosecond)
		for k, key := range same[50:101] {
			b.set(key, k)
		}
		if _, ok := b.get(same[50]); !ok || entries(b) != 51 {
			t.Errorf("%d entries, the young among them: %v", entries(b), ok)
		}
		// A full shard takes a new value of what it has without dropping the rest.
		for k, key := range same[101:150] {
			b.set(key, k)
		}
		for range 10 {
			b.set(same[149], 1)
		}
		if got := entries(b); got != 100 {
			t.Errorf("%d entries, want all 100", got)
		}
		b.set(same[150], 1)
		if _, ok := b.get(same[150]); !ok || entries(b) != 1 {
			t.Errorf("%d entries", entries(b))
		}
	})
}

// A limit of less than one for each shard is one.
func TestBoundedSmall(t *testing.T) {
	b := newBounded[int](1, time.Minute)
	for k := range 100 {
		b.set(strconv.Itoa(k), k)
	}
	if got := entries(b); got < 1 || got > len(b.shards) {
		t.Errorf("%d entries", got)
	}
}

// For the race detector. The capacity may be exceeded by one entry per worker and
// shard.
func TestBoundedConcurrently(t *testing.T) {
	const limit, workers = 160, 8
	b := newBounded[int](limit, time.Minute)
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for k := range 2000 {
				key := strconv.Itoa(k * worker % 500)
				b.set(key, k)
				b.get(key)
				if k%7 == 0 {
					b.remove(key)
				}
				if got := entries(b); got > limit+16*workers {
					t.Errorf("%d entries", got)
				}
			}
		})
	}
	all.Wait()
}
