package issuer

import (
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// hashTable maps ids to numbers, each with an expiry. Reading takes no lock and writes
// nothing, so any number of cores can read at once. It is a table with open addressing
// and linear probing, in shards, each with a lock for writers.
//
// It stores 96 bits of a seeded hash instead of each id, in slots of 32 bytes without
// pointers. The probability that any two of a million ids collide is 2⁻⁵⁶.
type hashTable struct {
	seeds  [2]maphash.Seed
	began  time.Time
	size   atomic.Int64
	shards [256]hashShard
}

type hashShard struct {
	slots atomic.Pointer[[]hashSlot] // a power of two of them, or nil; some are empty
	mu    sync.Mutex                 // of writers
	used  int
}

// hashSlot is an entry, or empty while key is 0. A writer fills in the key last.
type hashSlot struct {
	key   atomic.Uint64 // of the first hash
	rest  atomic.Uint64 // 32 bits of the second hash, then the expiry in seconds since the table was made
	value atomic.Int64

	note int64 // of the writer
}

// hashKey is the hash of an id.
type hashKey struct {
	key  uint64 // never 0
	rest uint64 // its upper half
}

// lower masks the half of hashSlot.rest that is not a hash.
const lower = math.MaxUint32

func (k hashKey) shard() uint64 { return k.key >> 56 }

// maxEntry is the longest time for which an entry is kept.
const maxEntry = 100 * 365 * 24 * time.Hour

// minSlots is the size of the smallest shard.
const minSlots = 8

func newHashTable() *hashTable {
	return &hashTable{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, began: time.Now()}
}

func (t *hashTable) hash(id string) hashKey {
	return hashKey{maphash.String(t.seeds[0], id) | 1, maphash.String(t.seeds[1], id) &^ lower}
}

func (t *hashTable) hashBytes(id []byte) hashKey {
	return hashKey{maphash.Bytes(t.seeds[0], id) | 1, maphash.Bytes(t.seeds[1], id) &^ lower}
}

func (t *hashTable) empty() bool { return t.size.Load() == 0 }

// find returns the value of an id. For an id without an entry it computes only the
// first hash.
func (t *hashTable) find(id string) (value int64, found bool) {
	first := maphash.String(t.seeds[0], id) | 1
	slots := t.shards[first>>56].slots.Load()
	if slots == nil {
		return 0, false
	}
	mask := uint64(len(*slots)) - 1
	for n := first >> 1; ; n++ {
		switch (*slots)[n&mask].key.Load() {
		case 0:
			return 0, false
		case first:
			return t.get(t.hash(id))
		}
	}
}

// get returns the value of an entry.
func (t *hashTable) get(k hashKey) (value int64, found bool) {
	slots := t.shards[k.shard()].slots.Load()
	if slots == nil {
		return 0, false
	}
	slot, found := probe(*slots, k)
	if !found {
		return 0, false
	}
	return slot.value.Load(), true
}

// probe returns the slot of the key, or the empty one where it belongs.
func probe(slots []hashSlot, k hashKey) (slot *hashSlot, found bool) {
	mask := uint64(len(slots)) - 1
	for n := k.key >> 1; ; n++ {
		slot = &slots[n&mask]
		switch key := slot.key.Load(); {
		case key == 0:
			return slot, false
		case key == k.key && slot.rest.Load()&^lower == k.rest:
			return slot, true
		}
	}
}

// put adds an entry, or raises the value and the expiry of an existing one. It reports
// whether the entry is new.
func (t *hashTable) put(k hashKey, value int64, until time.Time) (added bool) {
	return t.putNoted(k, value, 0, until)
}

// putNoted is put with a note, which remove passes to its caller.
func (t *hashTable) putNoted(k hashKey, value, note int64, until time.Time) (added bool) {
	shard := &t.shards[k.shard()]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	slots := shard.slots.Load()
	if slots == nil || 4*(shard.used+1) > 3*len(*slots) {
		slots = shard.resize(2*(shard.used+1), all)
	}
	end := t.seconds(until)
	slot, found := probe(*slots, k)
	if found {
		slot.value.Store(max(value, slot.value.Load()))
		slot.rest.Store(k.rest | max(end, slot.end()))
		return false
	}
	slot.value.Store(value)
	slot.note = note
	slot.rest.Store(k.rest | end)
	slot.key.Store(k.key)
	shard.used++
	t.size.Add(1)
	return true
}

// seconds returns a time in seconds since the table was made, by the monotonic clock: a
// wall clock that is set ahead later does not expire entries.
func (t *hashTable) seconds(at time.Time) uint64 {
	now := time.Now()
	left := min(at.Sub(now), maxEntry)
	return uint64(max(now.Sub(t.began)+left, 0)/time.Second) + 1
}

// resize copies the entries for which kept returns true to a new array, with capacity
// for want. Readers of the old array finish there.
func (s *hashShard) resize(want int, kept func(*hashSlot) bool) *[]hashSlot {
	slots := make([]hashSlot, max(minSlots, 1<<bits.Len(uint(want-1))))
	if old := s.slots.Load(); old != nil {
		for n := range *old {
			if slot := &(*old)[n]; slot.key.Load() != 0 && kept(slot) {
				slot.copyTo(slots)
			}
		}
	}
	s.slots.Store(&slots)
	return &slots
}

func all(*hashSlot) bool { return true }

// copyTo copies the entry to another array.
func (s *hashSlot) copyTo(slots []hashSlot) {
	key, rest := s.key.Load(), s.rest.Load()
	to, _ := probe(slots, hashKey{key, rest &^ lower})
	to.value.Store(s.value.Load())
	to.note = s.note
	to.rest.Store(rest)
	to.key.Store(key)
}

// end returns the expiry of the entry.
func (s *hashSlot) end() uint64 { return s.rest.Load() & lower }

// sweep drops expired entries and frees their memory. It calls dropped with the value of
// each. Readers do not wait; writers wait for one shard at most.
func (t *hashTable) sweep(dropped func(value int64)) {
	now := uint64(max(time.Since(t.began), 0) / time.Second)
	t.removeSlots(func(s *hashSlot) bool { return s.end() <= now }, dropped)
}

// remove drops the entries for which gone returns true, as sweep does.
func (t *hashTable) remove(gone func(value, note int64) bool, dropped func(value int64)) {
	t.removeSlots(func(s *hashSlot) bool { return gone(s.value.Load(), s.note) }, dropped)
}

func (t *hashTable) removeSlots(gone func(*hashSlot) bool, dropped func(value int64)) {
	for n := range t.shards {
		t.size.Add(-int64(t.shards[n].remove(gone, dropped)))
	}
}

// remove returns the number of dropped entries.
func (s *hashShard) remove(gone func(*hashSlot) bool, dropped func(value int64)) (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := s.slots.Load()
	if slots == nil {
		return 0
	}
	for n := range *slots {
		if slot := &(*slots)[n]; slot.key.Load() != 0 && gone(slot) {
			removed++
			dropped(slot.value.Load())
		}
	}
	switch s.used -= removed; {
	case s.used == 0:
		s.slots.Store(nil)
	case removed > 0:
		s.resize(2*s.used, func(slot *hashSlot) bool { return !gone(slot) })
	}
	return removed
}
