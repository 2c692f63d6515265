package issuer

import (
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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

		// A set restarts the TTL.
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

// The capacity is not exceeded. A full shard evicts its oldest entry, so the newest entry is
// found, and most of those before it.
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
				if got := b.len(); got > limit {
					t.Fatalf("%d entries", got)
				}
			}
		}
		fill(10 * limit)
		if got := b.len(); got != limit {
			t.Errorf("%d entries after a flood", got)
		}

		// In one shard, expired entries are dropped and the others are kept.
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
		for _, key := range same[50:101] {
			if _, ok := b.get(key); !ok {
				t.Errorf("%s is gone, but has not expired", key)
			}
		}
		if got := b.len(); got != 51 {
			t.Errorf("%d entries, want the 51 that have not expired", got)
		}
		// A new value of an entry evicts nothing from a full shard. A new entry evicts the
		// one that was set first.
		for k, key := range same[101:150] {
			b.set(key, k)
		}
		for range 10 {
			b.set(same[50], 1)
		}
		if got := b.len(); got != 100 {
			t.Errorf("%d entries, want all 100", got)
		}
		b.set(same[150], 1)
		for k, want := range map[int]bool{50: true, 51: false, 52: true, 149: true, 150: true} {
			if _, ok := b.get(same[k]); ok != want {
				t.Errorf("entry %d is there: %v, want %v", k, ok, want)
			}
		}
		if got := b.len(); got != 100 {
			t.Errorf("%d entries", got)
		}
	})
}

// Expired entries free their memory, whether the map is in use or not.
func TestBoundedShrinks(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for name, after := range map[string]func(b *bounded[int]){
		"swept": func(b *bounded[int]) { b.sweep() },
		"in use": func(b *bounded[int]) {
			for k := range 60_000 {
				b.set(strconv.Itoa(k%1000), k)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := heap()
				b := newBounded[int](100_000, time.Minute)
				for k := range 100_000 {
					b.set("key "+strconv.Itoa(k), k)
				}
				full := int64(heap() - before)
				time.Sleep(time.Minute + 1)
				after(b)
				if kept := int64(heap() - before); kept > full/20 || full < 1<<20 {
					t.Errorf("%d kB of %d kB are kept", kept>>10, full>>10)
				}
				runtime.KeepAlive(b)
			})
		})
	}
}

// Each shard has a capacity of at least one.
func TestBoundedSmall(t *testing.T) {
	b := newBounded[int](1, time.Minute)
	for k := range 100 {
		b.set(strconv.Itoa(k), k)
	}
	if got := b.len(); got < 1 || got > len(b.shards) {
		t.Errorf("%d entries", got)
	}
}

// For the race detector. While workers run, the capacity may be exceeded by one entry per
// worker and shard.
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
				if got := b.len(); got > limit+16*workers {
					t.Errorf("%d entries", got)
				}
			}
		})
	}
	all.Wait()
}
