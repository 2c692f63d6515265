package jwks

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file compares the stored state with the state that this replica holds. A store
// can be set back, by a restored backup or by an attacker who cannot open the state.
// It can also be exchanged for the store of another keyring. A key that Rotate
// dropped must not return while one replica stays up.

// comparison is the result of reading a blob.
type comparison struct {
	state *state // to use from now on
	raw   []byte // its blob, nil if it has none yet

	first   bool  // nothing was held; the state is the stored one
	due     bool  // the state is newer than what is stored: write it
	older   error // the stored state was older, or from the future, and was not taken
	foreign error // the stored state is that of another keyring
	future  error // the state was written in the future of this clock
}

// compare decides which state to use from now on. err is the error of reading the
// store.
func (r *Keyring) compare(raw []byte, err error) (comparison, error) {
	held := r.snapshot.Load()
	if held == nil {
		return r.first(raw, err)
	}
	own := &held.state
	if unopened, ok := errors.AsType[*otherSeal](err); ok && unopened.foreign(own) {
		return comparison{state: own, raw: held.raw, foreign: fmt.Errorf("%w; this replica keeps its own keys; call Keyring.Reclaim to write them over the stored ones", unopened)}, nil
	}
	switch {
	case err != nil:
		return comparison{}, err
	case raw == nil:
		return r.writeBack(held, own, comparison{older: errors.New("jwks: the stored keys are gone: this replica writes its own back")}), nil
	case bytes.Equal(raw, held.raw):
		return comparison{state: own, raw: raw, future: r.future(own)}, nil
	}
	stored, err := readState(raw, own)
	if err != nil {
		if !errors.Is(err, errNewerState) {
			err = fmt.Errorf("%w (this process still has its keys: if you remove the stored ones while it runs, it writes its own back)", err)
		}
		return comparison{}, err
	}
	switch {
	case !stored.continues(own):
		return comparison{state: own, raw: held.raw, foreign: fmt.Errorf("jwks: the key store holds the keys of another keyring (lineage %s, this one's is %s): this replica keeps its own; call Keyring.Adopt to take the stored ones, or Keyring.Reclaim to write its own over them", stored.Lineage, own.Lineage)}, nil
	case stored.Lineage == own.Lineage && stored.Generation < own.Generation:
		return r.writeBack(held, stored, comparison{older: fmt.Errorf("jwks: the key store holds generation %d of the keys, and this replica has generation %d: this replica writes its own back", stored.Generation, own.Generation)}), nil
	}
	if future := r.future(stored); future != nil && r.future(own) == nil {
		// Keep the own state, and write it over the state from the future.
		all := union(stored.Dropped, own.Dropped)
		next := r.without(own, all)
		if len(next.Keys) == 0 {
			next = r.putRight(r.without(stored, all))
		}
		next = next.writtenAt(r.agreed(own))
		next.Generation = stored.Generation + 1
		return comparison{state: next, due: true, older: future}, nil
	}
	if stored.Written.Add(r.policy.Skew).Before(own.Written) {
		// Another replica set the time back. Follow it: being late destroys nothing.
		r.clock.yield(stored.Written)
	}
	c := comparison{state: stored, raw: raw, future: r.future(stored)}
	if all := union(own.Dropped, stored.Dropped); !slices.Equal(all, stored.Dropped) || stored.holds(all) {
		c.state, c.raw, c.due = r.survivors(stored, own, all), nil, true
		c.state.Generation = stored.Generation + 1
		c.older = errors.New("jwks: the stored keys include one that Rotate dropped, or do not name it as dropped: this replica writes that again")
	}
	return c, nil
}

// first is compare at the start, when no state is held.
func (r *Keyring) first(raw []byte, err error) (comparison, error) {
	if err != nil {
		return comparison{}, err
	}
	if raw == nil {
		return comparison{first: true, state: &state{}}, nil
	}
	s, err := readState(raw, nil)
	if err != nil {
		return comparison{}, err
	}
	if s.holds(s.Dropped) {
		kept := r.without(s, s.Dropped)
		if len(kept.Keys) == 0 {
			return comparison{}, errors.New("jwks: every key that is stored was dropped by Keyring.Rotate: restore newer keys from a backup, or remove them to start with new keys (tokens signed by the old ones are then refused)")
		}
		kept.Generation++
		return comparison{first: true, state: kept, due: true, older: errors.New("jwks: the stored keys include one that Keyring.Rotate dropped: it is not used, and is removed"), future: r.future(s)}, nil
	}
	return comparison{first: true, state: s, raw: raw, future: r.future(s)}, nil
}

// writeBack completes a comparison with the held state, which is newer than the
// stored one.
func (r *Keyring) writeBack(held *snapshot, stored *state, c comparison) comparison {
	c.state, c.raw, c.due = &held.state, held.raw, true
	// A later write of another replica must not look like one from the future.
	if all := union(stored.Dropped, held.Dropped); !slices.Equal(all, held.Dropped) || stored.Written.After(held.Written) {
		c.state, c.raw = r.survivors(&held.state, stored, all), nil
		c.state.Generation = held.Generation + 1
	}
	c.future = r.future(c.state)
	return c
}

// continues reports whether a state is of the same lineage as an earlier one, or
// replaced it by Adopt.
func (s *state) continues(before *state) bool {
	return s.Lineage == before.Lineage || s.Succeeds == before.Lineage && s.Generation > before.Generation
}

var errFuture = errors.New("jwks: the stored keys were written in the future of this machine's clock")

// future returns an error for a state that was written in the future of this clock.
// Replicas agree on the latest of their clocks, so one that is far ahead would stop
// the timetable of all others.
func (r *Keyring) future(s *state) error {
	if now := r.clock.latest(); s.Written.After(now.Add(r.policy.Skew)) {
		return fmt.Errorf("%w, at %v, and here it is %v, a difference of more than Policy.Skew = %v: set the clock that is wrong; if that is the writer's, this replica moves the timetable to its own clock after %v of steady running, and Keyring.Adopt moves it at once", errFuture, s.Written, now, r.policy.Skew, steadyFor)
	}
	return nil
}

// putRight moves the timetable of a state from the future to this replica's clock.
// That destroys nothing: the keys keep their order and distances.
func (r *Keyring) putRight(s *state) *state {
	next := &state{}
	*next = *s
	next.Keys = slices.Clone(s.Keys)
	now := r.clock.steady()
	base := s.Written
	if from, leapt := r.clock.leapt(); leapt {
		base = later(base, from)
	}
	next.shift(now.Sub(base))
	next.Written = now
	next.Generation++
	return next
}

// shift moves a whole timetable.
func (s *state) shift(by time.Duration) {
	s.Written = s.Written.Add(by)
	for i := range s.Keys {
		for _, t := range []*time.Time{&s.Keys[i].Announced, &s.Keys[i].Signs} {
			if !t.IsZero() {
				*t = t.Add(by)
			}
		}
	}
}

// yield makes a time behind the wall clock the trusted time, as after a jump of the
// wall clock.
func (c *clock) yield(moment time.Time) {
	c.restart(moment)
	c.jump(c.wall().Sub(moment))
}

// union returns the kids of a that b lacks, followed by b. It keeps the last
// maxDropped.
func union(a, b []string) []string {
	var all []string
	for _, kid := range a {
		if !slices.Contains(b, kid) {
			all = append(all, kid)
		}
	}
	all = append(all, b...)
	return all[max(0, len(all)-maxDropped):]
}

// without returns the state without the dropped keys. It may have no keys left.
func (r *Keyring) without(s *state, kids []string) *state {
	next := &state{}
	*next = *s
	next.Keys, next.Dropped = slices.Clone(s.Keys), kids
	for _, kid := range kids {
		if next.index(kid) < 0 {
			continue
		}
		rest := dropped(next, r.policy, r.agreed(next), kid)
		next.Keys = slices.DeleteFunc(rest.Keys, func(k stateKey) bool { return k.key == nil }) // the timetable makes it
	}
	return next
}

// survivors returns the state without the dropped keys, as written now. If that
// leaves no key, it takes the keys of the other state that were not dropped. If there
// are none either, the result has no keys, and the timetable makes new ones.
func (r *Keyring) survivors(s, other *state, kids []string) *state {
	next := r.without(s, kids)
	if len(next.Keys) == 0 {
		next.Keys = r.without(other, kids).Keys
		next.Written = later(next.Written, other.Written)
	}
	return next.writtenAt(r.agreed(next))
}

// holds reports whether a state contains one of the keys.
func (s *state) holds(kids []string) bool {
	return slices.ContainsFunc(kids, func(kid string) bool { return s.index(kid) >= 0 })
}
