package jwks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

var errTooBusy = errors.New("jwks: too many replicas write to the key store at once")

// change makes the next state of a state. It returns nil for "no change". A state
// with an error is the part of the change that could be made.
type change func(context.Context, *state) (*state, error)

// update reads the state, calls change to make the next one, and saves it. If another
// replica wrote first, change is called again.
func (r *Keyring) update(ctx context.Context, change change) error {
	if err := r.busy.Acquire(ctx, 1); err != nil {
		return err
	}
	found, err := r.apply(ctx, change)
	r.release(ctx, found)
	return err
}

const (
	// storeTimeout bounds one update: a store may hang.
	storeTimeout = 10 * time.Second

	// maxRaces bounds the attempts of one update. Each lost race means that another
	// replica won it.
	maxRaces = 100

	// longestUnproved is the longest time between two writes of the store. Writing
	// the stored blob again proves that a write would work before one is needed.
	longestUnproved = 6 * time.Hour
)

// notWritten is the error of an update that read the store and could not write it.
// The state that it read is in use.
type notWritten struct {
	err error
}

func (n *notWritten) Error() string { return n.err.Error() }
func (n *notWritten) Unwrap() error { return n.err }

// refused is the error of a change that an operator asked for and that cannot be
// made. It says nothing about the store.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// apply is update for a caller that holds busy.
func (r *Keyring) apply(ctx context.Context, change change) (found, error) {
	var f found
	if r.closed.Load() {
		return f, errClosed
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	written := false
	for range maxRaces {
		outcome, err := r.attempt(ctx, bounded, change, &f)
		if err != nil {
			f.concludes = ctx.Err() == nil // a caller that gave up says nothing about the store
			if written {
				return f, nil // the change is written; the poller does the rest
			}
			return f, err
		}
		switch outcome {
		case settled:
			f.concludes = true
			return f, nil
		case saved:
			change, written = r.plan, true // the new state may make something else due
		case raced:
		}
	}
	f.concludes, f.write = true, errTooBusy
	return f, &notWritten{err: errTooBusy}
}

type outcome int

const (
	settled outcome = iota // nothing is left to write
	saved                  // the change was written
	raced                  // another replica wrote first
)

// attempt is one compare-and-swap. The state that it reads is in use before anything
// is written. limited is the caller's context with a deadline.
func (r *Keyring) attempt(caller, limited context.Context, change change, f *found) (outcome, error) {
	f.reset()
	read := r.clock.read()
	r.reads.begin()
	raw, c, err := r.find(limited, read, f)
	r.reads.end(err, caller.Err() != nil)
	if err != nil {
		f.read = err
		return raced, err
	}
	ctx, s := limited, c.state
	if s.unopened() {
		s, f.unopened = r.opened(ctx, s)
		if err := r.show(s, c.raw, read); err != nil {
			return raced, err
		}
	}
	if c.due && len(s.Keys) > 0 {
		_, err := r.save(ctx, raw, s, c.raw, read, f)
		return raced, err // the change follows in the next attempt
	}
	next, err := change(ctx, s)
	if err != nil {
		if _, ok := errors.AsType[refused](err); !ok {
			f.write = err
		}
		if next == nil {
			return raced, err
		}
	}
	if next != nil {
		return r.save(ctx, raw, s.follow(next), nil, read, f)
	}
	r.started = r.started || !r.held
	if r.held || raw == nil || r.provedLately() {
		return settled, nil
	}
	if outcome, err := r.save(ctx, raw, s, raw, read, f); err != nil || outcome == raced {
		return outcome, err
	}
	return settled, nil
}

// find reads the store, decides which state to use, and shows it to requests.
func (r *Keyring) find(ctx context.Context, read reading, f *found) (raw []byte, c comparison, err error) {
	r.held, f.clock = r.judge(ctx)
	raw, exposed, err := r.load(ctx)
	if c, err = r.compare(raw, err); err != nil {
		return nil, c, err
	}
	if c.first {
		f.clock = cmp.Or(f.clock, r.doubt(c.state))
	}
	f.clock = r.weigh(f.clock, c.state)
	if c.future != nil && c.foreign == nil && !r.held && r.sure() {
		c.state, c.raw, c.due = r.putRight(c.state), nil, true
		c.older, c.future = cmp.Or(c.older, c.future), nil
	}
	f.note(c, exposed)
	r.foreign = c.foreign
	r.held = r.held || c.foreign != nil || c.future != nil
	if len(c.state.Keys) == 0 && c.first { // nothing was stored yet
		return raw, c, nil
	}
	return raw, c, r.show(c.state, c.raw, read)
}

// save writes a state over what was read, and then uses it. It makes the blob if that
// is nil.
func (r *Keyring) save(ctx context.Context, raw []byte, s *state, blob []byte, read reading, f *found) (outcome, error) {
	fail := func(err error) (outcome, error) {
		f.write = err
		return raced, &notWritten{err: err}
	}
	if blob == nil {
		var err error
		if blob, err = s.blob(); err != nil {
			return fail(err)
		}
	}
	done, err := r.write(ctx, raw, nil, blob)
	if err != nil {
		return fail(err)
	}
	f.saved, r.proved = true, time.Now()
	if !done {
		return raced, nil
	}
	r.maker.stored(s)
	return saved, r.show(s, blob, read)
}

// write replaces what was read, or what could not be opened. After an error it reads
// the store: perhaps only the answer was lost.
func (r *Keyring) write(ctx context.Context, raw []byte, unread error, blob []byte) (done bool, err error) {
	if unopened, ok := errors.AsType[*otherSeal](unread); ok {
		done, err = unopened.replace(ctx, blob)
	} else {
		done, err = r.store.Save(ctx, raw, blob)
	}
	if err == nil || bytes.Equal(raw, blob) {
		return done, err
	}
	found, _, unread := r.load(ctx)
	switch {
	case unread != nil:
		return false, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case bytes.Equal(found, raw): // not written
		return false, err
	}
	return bytes.Equal(found, blob), nil // otherwise another replica has written since
}

// provedLately reports whether a recent write succeeded.
func (r *Keyring) provedLately() bool {
	return !r.proved.IsZero() && !r.health.failing() && time.Since(r.proved) < min(longestUnproved, r.policy.Announce/2)
}

// load reads the store. A running keyring also takes a key file that Open would
// refuse, and reports it.
func (r *Keyring) load(ctx context.Context) (raw []byte, exposed, err error) {
	if store, ok := r.store.(lenient); ok && r.snapshot.Load() != nil {
		return store.loadLenient(ctx)
	}
	raw, err = r.store.Load(ctx)
	return raw, nil, err
}

// plan applies the timetable to a state. At the start of a replica, a changed policy
// takes effect. plan does not wait for a key that is being made.
//
// A state is written at least once in longestUnproved: a replica that starts takes a
// clock that is much later than the last write for wrong.
func (r *Keyring) plan(_ context.Context, s *state) (*state, error) {
	if r.held {
		return nil, nil
	}
	now, moved := r.agreed(s), false
	if from, leapt := r.clock.leapt(); leapt {
		if s, moved = s.leap(r.policy, later(s.Written, from), now); !moved {
			r.clock.planned()
		}
	}
	timetable := func(newKeys bool) (*state, error) {
		next, err := planned(s, r.policy, now, !r.started, newKeys, r.signedLately)
		if err == nil && next == nil && len(s.Keys) > 0 && (moved || now.Sub(s.Written) >= longestUnproved) {
			next = &state{Written: now, Keys: s.Keys}
		}
		if next != nil {
			next.Dropped = s.Dropped // even if every key is new
		}
		return next, err
	}
	next, err := timetable(true)
	next, err = r.withKeys(next, err, false)
	making := errors.Is(err, errMaking)
	switch {
	case err == nil:
		return next, nil
	case len(s.Keys) > 0: // write what needs no new key
		rest, failed := timetable(false)
		if making {
			err = nil
		}
		return rest, cmp.Or(err, failed)
	case making:
		return nil, refused{err} // the start waits
	}
	return nil, err
}
