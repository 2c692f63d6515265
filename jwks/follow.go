package jwks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// current returns the snapshot if its deadline has not passed. Otherwise it reads
// the store first. While the store answers, the poller keeps the snapshot younger
// than Poll, and no request waits.
func (r *Keyring) current(ctx context.Context, deadline func(*snapshot) time.Time) (*snapshot, error) {
	if r == nil || r.snapshot.Load() == nil {
		return nil, errZeroKeyring
	}
	if r.closed.Load() {
		return nil, fmt.Errorf("%w: the keyring is closed", ErrUnavailable)
	}
	if r.startPolling() {
		deadline = (*snapshot).polled // it may have been opened long before its first use
	}
	if s := r.snapshot.Load(); time.Now().Before(deadline(s)) {
		return s, nil
	}
	if err := r.catchUp(ctx, deadline); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return r.snapshot.Load(), nil
}

var errZeroKeyring = fmt.Errorf("%w: a zero Keyring: make it with jwks.Open", ErrUnavailable)

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
			// A failure shows in events, and in answers once the snapshot is too old.
			_ = r.update(r.life, r.plan)
		}
	}
}

// catchUp is an update for a request whose snapshot is too old. Of many such
// requests one reads the store. While the store fails, one a second does.
func (r *Keyring) catchUp(ctx context.Context, deadline func(*snapshot) time.Time) error {
	if err := r.busy.Acquire(ctx, 1); err != nil {
		return err
	}
	var failed error
	defer func() { r.release(ctx, failed) }()
	if time.Now().Before(deadline(r.snapshot.Load())) {
		return nil
	}
	if r.lastErr != nil && time.Since(r.failedAt) < time.Second {
		return r.lastErr
	}
	failed = r.apply(ctx, r.plan)
	return failed
}

// change makes the next state of a state. It returns nil for "no change".
type change func(*state) (*state, error)

// update reads the state, lets change make the next one, and saves that. change
// is called again when another replica wrote first.
func (r *Keyring) update(ctx context.Context, change change) (err error) {
	if err := r.busy.Acquire(ctx, 1); err != nil {
		return err
	}
	defer func() { r.release(ctx, err) }()
	return r.apply(ctx, change)
}

// release ends an update, and then reports its failure, or the key that signs if
// it is another one than before.
func (r *Keyring) release(ctx context.Context, failure error) {
	s, before := r.snapshot.Load(), r.signs
	if s == nil || r.policy.Observe == nil || failure != nil {
		r.busy.Release(1)
		if failure != nil {
			r.observeFailure(ctx, failure)
		}
		return
	}
	after := ""
	if i := signingAt(s.times, r.agreed(&s.state)); i >= 0 {
		after = s.Keys[i].id()
	}
	r.signs = &after
	r.busy.Release(1)
	switch {
	case before == nil || *before == after: // opened, or no change
	case after == "":
		r.observeFailure(ctx, errNoneSigns(s))
	default:
		r.policy.Observe(ctx, Event{Op: event.OpRotateKey, KeyID: after})
	}
}

// observeFailure reports an update that failed, unless the caller gave up.
func (r *Keyring) observeFailure(ctx context.Context, err error) {
	if r.policy.Observe == nil || ctx.Err() != nil {
		return
	}
	reason := event.StoreUnavailable
	if errors.Is(err, ErrUnavailable) {
		reason = event.KeysUnavailable
	}
	r.policy.Observe(ctx, Event{Op: event.OpRotateKey, Reason: reason, Err: err})
}

const (
	// storeTimeout bounds one update, and so a store that hangs.
	storeTimeout = 10 * time.Second

	// maxRaces bounds how often an update is tried again that lost to another
	// replica. Each loss means that another one has won.
	maxRaces = 100
)

var errTooBusy = errors.New("jwks: too many replicas write to the key store at once")

// apply is update for a caller that holds busy.
func (r *Keyring) apply(ctx context.Context, change change) error {
	if r.closed.Load() {
		return errors.New("jwks: the keyring is closed")
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	r.lastErr, r.failedAt = errTooBusy, time.Now()
	written := false
	for range maxRaces {
		outcome, err := r.attempt(bounded, change)
		if err != nil {
			r.lastErr, r.failedAt = err, time.Now()
			if ctx.Err() != nil {
				r.lastErr = nil // the caller gave up: that says nothing about the store
			}
			if written {
				return nil // the change is written; the poller sees to the rest
			}
			return err
		}
		switch outcome {
		case settled:
			r.lastErr = nil
			return nil
		case saved:
			change, written = r.plan, true // what was written may make something else due
		case raced:
		}
	}
	return r.lastErr
}

type outcome int

const (
	settled outcome = iota // nothing was left to write
	saved                  // the change was written
	raced                  // another replica wrote first
)

// attempt is one compare-and-swap.
func (r *Keyring) attempt(ctx context.Context, change change) (outcome, error) {
	loaded := r.now()
	raw, err := r.store.Load(ctx)
	if err != nil {
		return raced, err
	}
	s, err := r.read(raw)
	if err != nil {
		return raced, err
	}
	next, err := change(s)
	if err != nil {
		return raced, err
	}
	if next == nil {
		return settled, r.show(s, raw, loaded)
	}
	blob, err := next.blob()
	if err != nil {
		return raced, err
	}
	if done, err := r.store.Save(ctx, raw, blob); err != nil || !done {
		return raced, err
	}
	return saved, r.show(next, blob, loaded)
}

// read reads a blob. Keys that are unchanged keep their pointers.
func (r *Keyring) read(raw []byte) (*state, error) {
	old := r.snapshot.Load()
	switch {
	case old == nil && raw == nil:
		return &state{}, nil
	case raw == nil:
		return nil, errors.New("jwks: the stored keys are gone: restore them from a backup, or restart to begin with new keys")
	case old != nil && bytes.Equal(raw, old.raw):
		return &old.state, nil
	}
	var previous *state
	if old != nil {
		previous = &old.state
	}
	s, err := readState(raw, previous)
	if err != nil {
		return nil, err
	}
	// Replicas take the later of the clocks for the time, so one that is far ahead
	// would stop the timetable of all the others.
	if now := r.now(); s.Written.After(now.Add(r.policy.Skew)) {
		return nil, fmt.Errorf("jwks: the stored keys were written at %v, and here it is %v, which differs by more than Policy.Skew = %v: set the clock that is wrong; if it was the writer's, restore the keys from a backup", s.Written, now, r.policy.Skew)
	}
	return s, nil
}

// plan applies the timetable to a state. planAtStart also adopts a policy that has
// changed.
func (r *Keyring) plan(s *state) (*state, error) {
	return r.withKeys(planned(s, r.policy, r.agreed(s), false))
}

func (r *Keyring) planAtStart(s *state) (*state, error) {
	return r.withKeys(planned(s, r.policy, r.agreed(s), true))
}
