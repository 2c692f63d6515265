package pop

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"
)

var (
	errFull       = errors.New("the memory of proofs is full")
	errKeyFull    = errors.New("the key has used its share of the memory of proofs")
	errClientFull = errors.New("the client has used its share of the memory of proofs")
)

// digest identifies a proof or a key in memory: half of a SHA-256. A sender that finds
// two proofs with one digest has only hurt itself, for the digest depends on its key.
type digest [16]byte

func digestOf(text string) digest {
	var buffer [128]byte // on the stack for most proofs
	sum := sha256.Sum256(append(buffer[:0], text...))
	return digest(sum[:len(digest{})])
}

// memory holds the proofs that were used, until they expire. It has no goroutine: a
// proof is in the slot of its expiry, and a slot that has expired is dropped whole.
type memory struct {
	capacity, perKey, perClient int
	window, width               int64 // seconds that a proof lives at most, and that a slot covers
	start                       time.Time

	mu    sync.Mutex
	slots []slot
}

// instant is a time by two clocks, in seconds: the wall clock, which can be set, and the
// steady one, which cannot.
type instant struct{ wall, steady int64 }

func (m *memory) at(now time.Time) instant {
	return instant{now.Unix(), int64(now.Sub(m.start) / time.Second)}
}

// slot has the proofs that expire before its end and not before the end of another slot.
type slot struct {
	end     instant
	proofs  map[digest]struct{}
	keys    map[digest]int // proofs of each key
	clients map[string]int // proofs of each client
}

// slotsPerWindow is into how many slots the life of a proof is cut. More slots hold a
// proof less long after its expiry, and take longer to search.
const slotsPerWindow = 4

func newMemory(capacity, perKey int, window time.Duration) *memory {
	seconds := int64((window + time.Second - 1) / time.Second)
	return &memory{
		capacity: capacity, perKey: perKey, perClient: max(perKey, capacity/2),
		window: seconds, width: max(1, seconds/slotsPerWindow), start: time.Now(),
	}
}

// sweep drops the slots that have expired by both clocks: setting the clock forward must
// not make a proof usable again when it is set back. It also drops what was recorded
// while the clock was far ahead, which would otherwise use memory until that time.
func (m *memory) sweep(now instant) {
	kept := m.slots[:0]
	for _, s := range m.slots {
		left := s.end.wall - now.wall
		if s.end.steady > now.steady || left > 0 && left <= 2*(m.window+m.width) {
			kept = append(kept, s)
		}
	}
	clear(m.slots[len(kept):]) // for the garbage collector
	m.slots = kept
}

// once reports whether this is the first use of the proof. It returns an error, and
// stores nothing, if there is no room.
func (m *memory) once(now instant, proof, key digest, client string, until time.Time) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	total, ofKey, ofClient := 0, 0, 0
	var into *slot
	end := (until.Unix()/m.width + 1) * m.width
	for i := range m.slots {
		s := &m.slots[i]
		if _, used := s.proofs[proof]; used {
			return false, nil
		}
		total += len(s.proofs)
		ofKey += s.keys[key]
		if client != "" {
			ofClient += s.clients[client]
		}
		if s.end.wall == end {
			into = s
		}
	}
	switch {
	case total >= m.capacity:
		return false, errFull
	case ofKey >= m.perKey:
		return false, errKeyFull
	case ofClient >= m.perClient:
		return false, errClientFull
	}
	if into == nil {
		m.slots = append(m.slots, slot{instant{wall: end}, map[digest]struct{}{}, map[digest]int{}, map[string]int{}})
		into = &m.slots[len(m.slots)-1]
	}
	into.end.steady = max(into.end.steady, now.steady+end-now.wall)
	into.proofs[proof] = struct{}{}
	into.keys[key]++
	if client != "" {
		if into.clients[client] == 0 {
			client = strings.Clone(client) // it may be a part of a token
		}
		into.clients[client]++
	}
	return true, nil
}
