package jwks

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// simulatedStore is the store itself. It never fails, and checks that all writes form one
// history.
type simulatedStore struct {
	mu     sync.Mutex
	blob   []byte
	read   *state   // the last saved state
	stored []string // kids in the order of their first save
	older  [][]byte // the states before this one, the newest last

	policy  Policy
	dropped map[string]bool // kids of emergencies
}

func (s *simulatedStore) wasDropped(kid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped[kid]
}

func (s *simulatedStore) ever(kid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.stored, kid)
}

func (s *simulatedStore) load() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blob
}

func (s *simulatedStore) save(old, blob []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.blob, old) {
		return false, nil
	}
	if bytes.Equal(old, blob) { // a proof that it can be written
		return true, nil
	}
	next, err := readState(blob, s.read) // readState reuses the keys of the last state
	if err != nil {
		return false, err
	}
	if s.blob != nil {
		before, err := readState(s.blob, s.read)
		if err != nil {
			return false, err
		}
		s.noteDropped(before, next)
	}
	s.read = next
	at := 0
	for _, k := range next.Keys { // in the order of history, new ones at the end
		for at < len(s.stored) && s.stored[at] != k.id() {
			at++
		}
		if at == len(s.stored) {
			s.stored = append(s.stored, k.id())
		}
		at++
	}
	if s.blob != nil {
		s.older = append(s.older, s.blob)
	}
	s.blob = blob
	return true, nil
}

// setBack puts back one of the last states, if there is any.
func (s *simulatedStore) setBack(r *rand.Rand) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.older) == 0 {
		return nil
	}
	last := s.older[max(0, len(s.older)-4):]
	s.blob = last[r.IntN(len(last))]
	return s.blob
}

// noteDropped marks a key that was removed after it had signed and before its retention
// was over, as Rotate does.
func (s *simulatedStore) noteDropped(before, after *state) {
	now := time.Now().Add(s.policy.Skew)
	gone := goneAt(before.times(), s.policy, now)
	left := map[string]bool{}
	for _, k := range after.Keys {
		left[k.id()] = true
	}
	for i, k := range before.Keys {
		if !left[k.id()] && i >= gone && !k.Signs.After(now) {
			s.dropped[k.id()] = true
		}
	}
}

// replicaStore is the store as one replica sees it.
type replicaStore struct {
	shared *simulatedStore
	slow   time.Duration
	dead   atomic.Bool
	lossy  atomic.Bool
	cut    atomic.Int64
	full   atomic.Int64

	mu   sync.Mutex
	rand *rand.Rand
}

var errSimulated = errors.New("simulated: no answer")

func (s *replicaStore) cutOff(until time.Time) { s.cut.Store(until.UnixNano()) }

func (s *replicaStore) chance(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.IntN(n) == 0
}

func (s *replicaStore) wait(ctx context.Context) error {
	s.mu.Lock()
	d := time.Duration(s.rand.Int64N(int64(s.slow) + 1))
	s.mu.Unlock()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *replicaStore) gone() bool {
	return s.dead.Load() || time.Now().UnixNano() < s.cut.Load()
}

func (s *replicaStore) Load(ctx context.Context) ([]byte, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	if s.gone() || s.lossy.Load() && s.chance(3) {
		return nil, errSimulated
	}
	blob := s.shared.load()
	return blob, s.wait(ctx) // what was read may be old when it arrives
}

func (s *replicaStore) Save(ctx context.Context, old, blob []byte) (bool, error) {
	if err := s.wait(ctx); err != nil {
		return false, err
	}
	if s.gone() || s.lossy.Load() && s.chance(6) {
		return false, errSimulated // the write is lost
	}
	if time.Now().UnixNano() < s.full.Load() {
		return false, errReadOnly
	}
	saved, err := s.shared.save(old, blob)
	if s.lossy.Load() && s.chance(6) {
		return false, errSimulated // the answer is lost
	}
	if err := s.wait(ctx); err != nil {
		return false, err
	}
	return saved, err
}
