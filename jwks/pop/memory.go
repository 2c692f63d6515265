package pop

import (
	"crypto/sha256"
	"errors"
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
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:len(digest{})])
}

// memory holds the proofs that were used, until they expire. It has no goroutine: a
// proof is in the slot of its expiry, and a slot that has expired is dropped whole.
type memory struct {
	capacity, perKey, perClient int
	width                       int64 // seconds that a slot covers

	mu    sync.Mutex
	slots []slot
}

// slot has the proofs that expire before end and not before the end of another slot.
type slot struct {
	end     int64 // in seconds since 1970
	proofs  map[digest]struct{}
	keys    map[digest]int // proofs of each key
	clients map[string]int // proofs of each client
}

// slotsPerWindow is into how many slots the life of a proof is cut. More slots hold a
// proof less long after its expiry, and take longer to search.
const slotsPerWindow = 4

func newMemory(capacity, perKey int, window time.Duration) *memory {
	return &memory{capacity: capacity, perKey: perKey, perClient: max(perKey, capacity/2), width: max(1, int64(window/time.Second)/slotsPerWindow)}
}

// once reports whether this is the first use of the proof. It returns an error, and
// stores nothing, if there is no room.
func (m *memory) once(now time.Time, proof, key digest, client string, until time.Time) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.slots[:0]
	for _, s := range m.slots {
		if s.end > now.Unix() {
			kept = append(kept, s)
		}
	}
	clear(m.slots[len(kept):]) // for the garbage collector
	m.slots = kept

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
		if s.end == end {
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
		m.slots = append(m.slots, slot{end, map[digest]struct{}{}, map[digest]int{}, map[string]int{}})
		into = &m.slots[len(m.slots)-1]
	}
	into.proofs[proof] = struct{}{}
	into.keys[key]++
	if client != "" {
		into.clients[client]++
	}
	return true, nil
}
