package jwks

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	errZeroKeyring = fmt.Errorf("%w: a zero Keyring: make it with jwks.Open", ErrUnavailable)
	errClosed      = fmt.Errorf("%w: the keyring is closed", ErrUnavailable)
	errTooBusy     = errors.New("jwks: too many replicas write to the key store at once")
)

// current returns the snapshot if it is within its lifetime. Otherwise it reads the
// store first. While the store answers, the poller keeps the snapshot younger than
// Poll, and no request waits. No request waits for a write.
func (r *Keyring) current(ctx context.Context, lifetime lifetime) (*snapshot, error) {
	if r == nil || r.snapshot.Load() == nil {
		return nil, errZeroKeyring
	}
	if r.closed.Load() {
		return nil, errClosed
	}
	if r.startPolling() {
		lifetime = polled // it may have been opened long before its first use
	}
	if s := r.snapshot.Load(); r.fresh(s, lifetime) {
		return s, nil
	}
	if err := r.catchUp(ctx, lifetime); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return r.snapshot.Load(), nil
}

// startPolling starts the poller at the first use, and reports whether it did.
func (r *Keyring) startPolling() (started bool) {
	if r.store == nil {
		return false
	}
	r.polling.Do(func() {
		started = true
		r.done.Go(r.poll)
	})
	return started
}

// poll follows the store. It reads twice in each Poll, so that one slow or failed
// read does not make the snapshot older than the policy says.
func (r *Keyring) poll() {
	ticker := time.NewTicker(r.policy.Poll / 2)
	defer ticker.Stop()
	for {
		select {
		case <-r.life.Done():
			return
		case <-ticker.C:
		case <-r.now:
		}
		// A failure shows in Ready, Status and events, and in answers once the
		// snapshot is too old.
		_ = r.update(r.life, r.plan)
	}
}

// pollNow makes the poller apply the timetable, without waiting for it.
func (r *Keyring) pollNow() {
	select {
	case r.now <- struct{}{}:
	default:
	}
}

// catchUp reads the store for a request whose snapshot is too old. Of many such
// requests one reads the store. While the store fails, one a second does.
func (r *Keyring) catchUp(ctx context.Context, lifetime lifetime) error {
	if err := r.busy.Acquire(ctx, 1); err != nil {
		return err
	}
	if r.fresh(r.snapshot.Load(), lifetime) {
		r.busy.Release(1)
		return nil
	}
	if r.lastErr != nil && time.Since(r.failedAt) < time.Second {
		defer r.busy.Release(1)
		return r.lastErr
	}
	found, err := r.apply(ctx, nil)
	r.release(ctx, found)
	r.pollNow()
	if err == nil && !r.fresh(r.snapshot.Load(), lifetime) {
		err = errors.New("jwks: the stored keys are gone, and those of this replica are too old")
	}
	return err
}

// change makes the next state of a state. It returns nil for "no change".
type change func(context.Context, *state) (*state, error)

// update reads the state, lets change make the next one, and saves that. change
// is called again when another replica wrote first.
func (r *Keyring) update(ctx context.Context, change change) error {
	if err := r.busy.Acquire(ctx, 1); err != nil {
		return err
	}
	found, err := r.apply(ctx, change)
	r.release(ctx, found)
	return err
}

const (
	// storeTimeout bounds one update, and so a store that hangs.
	storeTimeout = 10 * time.Second

	// maxRaces bounds how often an update is tried again that lost to another
	// replica. Each loss means that another one has won.
	maxRaces = 100

	// longestUnproved is the longest time between two writes of the store. A write
	// of what is stored proves that it can be written before that matters.
	longestUnproved = 6 * time.Hour
)

// notWritten is the error of an update that could read, and could not write. What
// was read is in use.
type notWritten struct {
	err error
}

func (n *notWritten) Error() string { return n.err.Error() }
func (n *notWritten) Unwrap() error { return n.err }

// refused is the error of a change that an operator asked for and that cannot be
// made. The timetable goes on.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// apply is update for a caller that holds busy. A nil change reads only.
func (r *Keyring) apply(ctx context.Context, change change) (found, error) {
	var f found
	if r.closed.Load() {
		return f, errClosed
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	written := false
	for range maxRaces {
		outcome, err := r.attempt(bounded, change, &f)
		if err != nil {
			f.concludes = ctx.Err() == nil // if the caller gave up, that says nothing about the store
			if f.read == nil || !f.concludes {
				r.lastErr = nil
			} else {
				r.lastErr, r.failedAt = err, time.Now()
			}
			if written {
				return f, nil // the change is written; the poller sees to the rest
			}
			return f, err
		}
		switch outcome {
		case settled:
			r.lastErr, f.concludes = nil, true
			return f, nil
		case saved:
			change, written = r.plan, true // what was written may make something else due
		case raced:
		}
	}
	r.lastErr, f.concludes = nil, true
	f.write = errTooBusy
	return f, &notWritten{err: errTooBusy}
}

type outcome int

const (
	settled outcome = iota // nothing was left to write
	saved                  // the change was written
	raced                  // another replica wrote first
)

// attempt is one compare-and-swap. What was read is in use before anything is
// written.
func (r *Keyring) attempt(ctx context.Context, change change, f *found) (outcome, error) {
	f.reset()
	read := r.clock.read()
	f.clock, r.held = r.judge(ctx)
	raw, exposed, err := r.load(ctx)
	if err != nil {
		f.read = err
		return raced, err
	}
	c, err := r.compare(raw)
	if err != nil {
		f.read = err
		return raced, err
	}
	f.note(c, exposed)
	r.foreign = c.foreign
	r.held = r.held || c.foreign != nil || c.future != nil
	s := c.state
	if len(s.Keys) > 0 && (!c.missing) {
		if s, err = r.use(ctx, s, c.raw, read, f); err != nil {
			f.read = err
			return raced, err
		}
	}
	if c.due && c.foreign == nil {
		if change == nil {
			return settled, nil
		}
		_, err := r.save(ctx, raw, s, c.raw, read, f)
		return raced, err // and now the change
	}
	if change == nil {
		return settled, nil
	}
	next, err := change(ctx, s)
	if err != nil {
		if _, ok := errors.AsType[refused](err); !ok {
			f.write = err
		}
		return raced, err
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

// use shows a state, and opens its keys that are kept elsewhere.
func (r *Keyring) use(ctx context.Context, s *state, raw []byte, read reading, f *found) (*state, error) {
	if err := r.show(s, raw, read); err != nil {
		return nil, err
	}
	if !s.unopened() {
		return s, nil
	}
	opened, err := r.opened(ctx, s)
	f.unopened = err
	return opened, r.show(opened, raw, read)
}

// save writes a state over what was read, and uses it then. A nil blob is made.
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
	done, err := r.store.Save(ctx, raw, blob)
	if err != nil {
		return fail(err)
	}
	f.saved, r.proved = true, time.Now()
	if !done {
		return raced, nil
	}
	r.stored(s)
	_, err = r.use(ctx, s, blob, read, f)
	return saved, err
}

// provedLately reports whether the store was written lately.
func (r *Keyring) provedLately() bool {
	return !r.proved.IsZero() && !r.health.failing() && time.Since(r.proved) < min(longestUnproved, r.policy.Announce/2)
}

// load reads the store. A running keyring also takes a key file that it would not
// open, and says so.
func (r *Keyring) load(ctx context.Context) (raw []byte, exposed, err error) {
	if store, ok := r.store.(lenient); ok && r.snapshot.Load() != nil {
		return store.loadLenient(ctx)
	}
	raw, err = r.store.Load(ctx)
	return raw, nil, err
}

// plan applies the timetable to a state. At the start of a replica a policy that
// has changed takes effect too.
func (r *Keyring) plan(ctx context.Context, s *state) (*state, error) {
	if r.held {
		return nil, nil
	}
	next, err := planned(s, r.policy, r.agreed(s), !r.started)
	if next == nil && err == nil && s.Lineage == "" && len(s.Keys) > 0 {
		next = &state{Written: r.agreed(s), Keys: s.Keys} // of the first format: write it in this one
	}
	return r.withKeys(ctx, next, err)
}
