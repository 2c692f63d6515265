package jwks

import (
	"fmt"
	"slices"
	"time"
)

// This file is the timetable. Its functions are pure: they take the keys in the order
// in which they sign, a policy and a moment. They make no keys.

// times are the two planned moments of a key. It signs until the next key of the list
// does, and is gone Retain after that. A new key has no times: the first replica that
// reads it from the store sets them. So the announcement never counts from before the
// key could be read, however slow the write was.
type times struct {
	Announced time.Time `json:"announced,omitzero"`
	Signs     time.Time `json:"signs,omitzero"`
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// signingAt returns the index of the key that signs, or -1 if none may.
func signingAt(keys []times, now time.Time) int {
	for i, k := range slices.Backward(keys) {
		if !k.Signs.IsZero() && !k.Signs.After(now) {
			return i
		}
	}
	return -1
}

// goneAt counts the keys at the front of the list whose retention is over.
func goneAt(keys []times, p Policy, now time.Time) int {
	n := 0
	for n+1 < len(keys) {
		if next := keys[n+1].Signs; next.IsZero() || next.Add(p.Retain).After(now) {
			break
		}
		n++
	}
	return n
}

// nextDue reports whether the next key is to be made. It must be announced for
// Announce when the last key of the list starts to sign.
func nextDue(keys []times, p Policy, now time.Time) bool {
	if len(keys) == 0 {
		return true
	}
	last := keys[len(keys)-1].Signs
	return !last.IsZero() && !now.Before(last.Add(-p.Announce))
}

// announceAt returns the times of the last key of the list, if it has none yet. A key
// of another algorithm than the one before it signs after Announce, and does not wait
// for RotateEvery.
func announceAt(keys []times, p Policy, now time.Time, otherAlgorithm bool) (times, bool) {
	n := len(keys) - 1
	if n < 0 || !keys[n].Announced.IsZero() {
		return times{}, false
	}
	t := times{Announced: now, Signs: now.Add(p.Announce)}
	if n > 0 && !otherAlgorithm {
		t.Signs = later(t.Signs, keys[n-1].Signs.Add(p.RotateEvery))
	}
	return t, true
}

// dropAt returns the list without the signing key, which was compromised. The next
// key signs as soon as every verifier can have it: now, unless it was announced
// minutes ago.
func dropAt(keys []times, p Policy, now time.Time) (dropped int, rest []times) {
	dropped = signingAt(keys, now)
	for i, k := range keys {
		if i == dropped {
			continue
		}
		if i == dropped+1 && k.Signs.After(now) {
			k.Signs = now
			if seen := k.Announced.Add(p.visible()); seen.After(now) {
				k.Signs = seen
			}
		}
		rest = append(rest, k)
	}
	return dropped, rest
}

// leapAt moves the times of keys after the trusted time has leapt, such as when a
// jump of the clock turned out to be right. A key that was to take over in between
// takes over now, or once every verifier can have it. So the key that signed until
// now is retained from now on.
func leapAt(keys []times, p Policy, from, to time.Time) (moved bool) {
	if !from.Before(to) {
		return false
	}
	for i, k := range keys {
		if k.Announced.IsZero() || !k.Signs.After(from) {
			continue
		}
		seen := from.Sub(k.Announced)
		if turn := later(k.Signs, to.Add(max(0, p.visible()-seen))); turn.After(k.Signs) {
			keys[i], moved = times{to.Add(-seen), turn}, true
		}
	}
	return moved
}

// changesAt returns the next moment after now at which the published set changes by
// plan: a key is made, or is gone. It is zero if nothing is planned.
func changesAt(keys []times, p Policy, now time.Time) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i, k := range keys {
		if k.Signs.IsZero() {
			continue
		}
		if i > 0 {
			consider(k.Signs.Add(p.Retain)) // the key before this one is gone
		}
		if i == len(keys)-1 {
			consider(k.Signs.Add(-p.Announce)) // the key after it is made
		}
	}
	return next
}

// planned applies the timetable to a state. It returns nil when nothing is due. A key
// of the result without a public half is to be made.
//
// At the start of a replica, a changed policy takes effect. Without newKeys no key is
// planned, so that the rest can be written while none can be made. No key that
// signedLately reports is removed.
func planned(s *state, p Policy, now time.Time, starting, newKeys bool, signedLately func(kid string) bool) (*state, error) {
	if len(s.Keys) == 0 {
		next := firstState(p, now)
		if len(s.Dropped) > 0 { // not a new keyring: verifiers hold older sets
			next.Keys[0].Signs = now.Add(p.visible())
		}
		return next, nil
	}
	// A new signing key is written, so that replicas with slow clocks see it.
	changed := signingAt(s.times(), s.Written) != signingAt(s.times(), now)
	next := s.writtenAt(now)
	next.Keys = slices.Clone(next.Keys)
	if next.announce(p, now) {
		changed = true
	}
	gone := goneAt(next.times(), p, now)
	if n := slices.IndexFunc(next.Keys[:gone], func(k stateKey) bool { return signedLately(k.id()) }); n >= 0 {
		gone = n
	}
	if gone > 0 {
		next.Keys = next.Keys[gone:]
		changed = true
	}
	due := newKeys && nextDue(next.times(), p, now)
	if starting {
		due = newKeys && next.adoptAlgorithm(p, now) || due
		changed = next.adoptRotateEvery(p, now) || changed
	}
	if !due && !changed {
		return nil, nil
	}
	if due {
		if len(next.Keys) >= maxKeys/4 {
			return nil, fmt.Errorf("jwks: the keyring holds %d keys: each restart with another Policy.Algorithm announces one more; give all replicas the same Policy.Algorithm", len(next.Keys))
		}
		next.Keys = append(next.Keys, stateKey{})
	}
	return next, nil
}

// writtenAt returns the state with another time of writing. A key whose turn came
// since the last write takes over at that time, so the key before it is retained in
// full. Otherwise a wrong clock would remove it at once.
func (s *state) writtenAt(now time.Time) *state {
	next := &state{}
	*next = *s
	next.Written, next.Keys = now, slices.Clone(s.Keys)
	for i, k := range next.Keys {
		if k.Signs.After(s.Written) && k.Signs.Before(now) {
			next.Keys[i].Signs = now
		}
	}
	return next
}

// leap returns the state with the times of leapAt, and whether they changed.
func (s *state) leap(p Policy, from, to time.Time) (*state, bool) {
	list := s.times()
	if !leapAt(list, p, from, to) {
		return s, false
	}
	next := &state{}
	*next = *s
	next.Keys = slices.Clone(s.Keys)
	for i := range list {
		next.Keys[i].times = list[i]
	}
	return next, true
}

// firstState returns the state of a new keyring. Its first key signs at once, because
// no verifier can hold an older set. For the same reason the second key counts as
// announced long ago.
func firstState(p Policy, now time.Time) *state {
	return &state{Written: now, Keys: []stateKey{
		{times: times{now, now}},
		{times: times{now.Add(-p.visible()), now.Add(p.RotateEvery)}},
	}}
}

// announce sets the times of the last key if it has none, and reports whether it did.
func (s *state) announce(p Policy, now time.Time) bool {
	n := len(s.Keys) - 1
	other := n > 0 && s.Keys[n].algorithm() != s.Keys[n-1].algorithm()
	t, ok := announceAt(s.times(), p, now, other)
	if ok {
		s.Keys[n].times = t
	}
	return ok
}

// adoptAlgorithm removes the announced keys of another algorithm than
// Policy.Algorithm, and reports whether a key of the new one is to be made. It keeps
// keys that may sign within Announce: a replica acts on a snapshot for less than
// that, so none signs with a removed key.
func (s *state) adoptAlgorithm(p Policy, now time.Time) (due bool) {
	n := len(s.Keys)
	if n == 0 || s.Keys[n-1].algorithm() == p.Algorithm {
		return false
	}
	for n > 1 && s.Keys[n-1].Signs.After(now.Add(p.Announce)) {
		n--
	}
	s.Keys = s.Keys[:n]
	return true
}

// adoptRotateEvery moves the turn of the last key forward if RotateEvery is shorter
// now, and reports whether it did. Every replica learns of it within Announce.
func (s *state) adoptRotateEvery(p Policy, now time.Time) bool {
	n := len(s.Keys)
	if n < 2 {
		return false
	}
	turn := later(s.Keys[n-2].Signs.Add(p.RotateEvery), now.Add(p.Announce))
	if s.Keys[n-1].Signs.IsZero() || !s.Keys[n-1].Signs.After(turn) {
		return false
	}
	s.Keys[n-1].Signs = turn
	return true
}
