package recent

import "time"

const (
	idleAfter = 60 // seconds without a use
	sweepStep = 8  // slots in which a Put evicts expired entries
	clockStep = 32 // slots in which a Put searches for an idle entry
)

// Touch records a use, so that the entry keeps its slot for the next minute. now
// may be a little old, as of a request that has waited, and then changes nothing;
// a clock that was set back by more than a minute is followed.
func (e *Entry[V]) Touch(now time.Time) {
	second := now.Unix()
	// Most calls are within the second of the last one. They must not write: all
	// cores would fight for the cache line of an entry that every request uses.
	if since := second - e.used.Load(); since > 0 || since < -idleAfter {
		e.used.Store(second)
	}
}

// idle reports whether the entry may be evicted for another.
func (e *Entry[V]) idle(now time.Time) bool {
	since := now.Unix() - e.used.Load()
	return since >= idleAfter || since < -idleAfter || e.expired(now)
}

// evictable is idle, of entries of one owner only, unless that is nil.
func (e *Entry[V]) evictable(only *owner, now time.Time) bool {
	return (only == nil || e.owner == only) && e.idle(now)
}

func (e *Entry[V]) expired(now time.Time) bool { return now.Unix() >= e.expires }

// sweep evicts what has expired from the next few slots.
func (t *Table[V]) sweep(now time.Time) {
	for range min(sweepStep, ways*len(t.sets)) {
		if s, way := t.advance(); s.entries[way].Load() != nil && s.entries[way].Load().expired(now) {
			t.evict(s, way)
		}
	}
}

// makeRoom returns a free slot of the set for one more entry of the owner. If the
// table or the set is full, it evicts one idle entry; if the owner's quota is, one
// of the owner's own. It returns -1 when it found none.
func (t *Table[V]) makeRoom(s *set[V], o *owner, now time.Time) (way int) {
	var only *owner // whose entries may be evicted; nil: anyone's
	if o.entries >= t.quota {
		only = o
	}
	if (only != nil || t.len >= t.capacity) && !t.evictIdle(only, now) {
		return -1
	}
	idle := -1
	for way := range s.entries {
		e := s.entries[way].Load()
		if e == nil {
			return way
		}
		if e.evictable(only, now) {
			idle = way
		}
	}
	if idle >= 0 {
		t.evict(s, idle)
	}
	return idle
}

// evictIdle is CLOCK: it moves the hand to the next entry that may go, and evicts
// it. It reports whether it found one near.
func (t *Table[V]) evictIdle(only *owner, now time.Time) bool {
	for range min(clockStep, ways*len(t.sets)) {
		s, way := t.advance()
		if e := s.entries[way].Load(); e != nil && e.evictable(only, now) {
			t.evict(s, way)
			return true
		}
	}
	return false
}

// advance moves the hand on by one slot, and returns the one it was at.
func (t *Table[V]) advance() (s *set[V], way int) {
	s, way = &t.sets[t.hand/ways], t.hand%ways
	t.hand = (t.hand + 1) % (ways * len(t.sets))
	return s, way
}

func (t *Table[V]) evict(s *set[V], way int) {
	o := s.entries[way].Load().owner
	s.tags[way].Store(0)
	s.entries[way].Store(nil)
	t.len--
	if o.entries--; o.entries == 0 {
		delete(t.owners, o.name)
	}
}
