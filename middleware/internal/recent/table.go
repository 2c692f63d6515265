// Package recent is a bounded table of values that were used lately, found by the
// exact text of a string key. It caches what is expensive to compute and safe to lose.
//
//   - The table is set-associative: a key's hash names one set of 16 slots, and the
//     key is in that set or nowhere. A lookup takes no lock and writes nothing.
//   - A doorkeeper admits a key the second time it is put, so keys that are used
//     once cost eight bytes at most and evict nothing.
//   - Each owner has a quota of a quarter of the capacity, so one owner with many
//     keys leaves room for the others.
//   - Eviction is CLOCK: a hand goes round the slots and evicts the first entry it
//     finds idle, which is one not used within a minute. An entry in use is never
//     evicted for another; when all are in use, a new one is not cached.
//   - Each Put also evicts the expired entries among the next few slots.
package recent

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ways   = 16 // slots of a set
	hashed = 16 // bytes at the end of a key that are hashed
	share  = 4  // one owner has at most one in so many entries
)

// Table is a cache of at most its capacity of entries. It is made by [New] and safe
// for concurrent use. A nil or zero Table holds nothing and takes nothing.
type Table[V any] struct {
	seed     maphash.Seed // secret, so no caller can choose keys of one set
	sets     []set[V]
	capacity int
	quota    int

	mu     sync.Mutex // of Put: it guards what follows, and all writes to sets
	door   doorkeeper
	owners map[string]*owner
	len    int
	hand   int // the slot where the next sweep begins
}

// set is one set of slots. A slot is free when its tag is 0.
type set[V any] struct {
	tags    [ways]atomic.Uint32 // a part of the key's hash, so that most slots are passed over unread
	entries [ways]atomic.Pointer[Entry[V]]
}

// Entry is one value in the table. Value must not be changed.
type Entry[V any] struct {
	Value V

	key     string
	owner   *owner
	expires int64        // Unix seconds
	used    atomic.Int64 // Unix seconds
}

// owner counts the entries of one owner.
type owner struct {
	name    string
	entries int
}

// New makes a table of at most capacity entries. It allocates 26 bytes per entry;
// an entry takes its key, its value and 48 bytes more. A capacity below 1 is a
// table that holds nothing.
func New[V any](capacity int) *Table[V] {
	if capacity < 1 {
		return &Table[V]{}
	}
	return &Table[V]{
		seed: maphash.MakeSeed(),
		// Half as many slots again as entries: keys fall on sets at random, and with
		// as many slots as entries a third of the sets would be full too early.
		sets:     make([]set[V], (capacity+capacity/2)/ways+1),
		capacity: capacity,
		quota:    max(1, capacity/share),
		door:     newDoorkeeper(capacity),
		owners:   map[string]*owner{},
	}
}

// Len returns how many entries the table holds, expired ones included.
func (t *Table[V]) Len() int {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.len
}

// Get returns the entry of exactly this key, or nil. The entry may have expired.
func (t *Table[V]) Get(key string) *Entry[V] {
	if t == nil || len(t.sets) == 0 {
		return nil
	}
	s, tag := t.set(t.hash(key))
	for way := range s.tags {
		if s.tags[way].Load() != tag {
			continue
		}
		if e := s.entries[way].Load(); e != nil && e.key == key {
			return e
		}
	}
	return nil
}

// hash covers the end of the key only, which is quicker. Keys that are alike there
// share a set; they are still told apart, for the whole key is compared.
func (t *Table[V]) hash(key string) uint64 {
	return maphash.String(t.seed, key[max(0, len(key)-hashed):])
}

// set takes the set from the upper bits of a hash and the tag from the lower ones.
func (t *Table[V]) set(hash uint64) (s *set[V], tag uint32) {
	at, _ := bits.Mul64(hash, uint64(len(t.sets)))
	return &t.sets[at], uint32(hash) | 1
}

// Put caches a value that has just been computed, if the doorkeeper admits its key
// and there is room or something to evict. value is called only then, with copies
// of key and owner to share memory with: what it returns should keep nothing else
// alive. The value of a key that is there already is replaced.
func (t *Table[V]) Put(key, ownerName string, expires, now time.Time, value func(key, owner string) V) {
	if t == nil || len(t.sets) == 0 {
		return
	}
	hash := t.hash(key)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.door.admit(hash) {
		return
	}
	t.sweep(now)
	s, tag := t.set(hash)
	way, found := s.find(key)
	var o *owner
	if found {
		o = s.entries[way].Load().owner
	} else {
		if o = t.owners[ownerName]; o == nil {
			o = &owner{name: strings.Clone(ownerName)}
		}
		if way = t.makeRoom(s, o, now); way < 0 {
			return
		}
		t.owners[o.name] = o
		o.entries++
		t.len++
	}
	e := &Entry[V]{key: strings.Clone(key), owner: o, expires: expires.Unix()}
	e.Value = value(e.key, o.name)
	e.used.Store(now.Unix())
	s.entries[way].Store(e)
	s.tags[way].Store(tag)
}

// find returns the slot of a key.
func (s *set[V]) find(key string) (way int, found bool) {
	for way := range s.entries {
		if e := s.entries[way].Load(); e != nil && e.key == key {
			return way, true
		}
	}
	return -1, false
}
