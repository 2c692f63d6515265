package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// found is what an update found.
type found struct {
	concludes bool // the update was not ended by its caller
	saved     bool // a write succeeded

	read, write, clock, unopened, exposed, older, foreign error
}

func (f *found) reset() {
	// What an earlier attempt found and repaired is reported too.
	*f = found{saved: f.saved, older: f.older}
}

func (f *found) note(c comparison, exposed error) {
	f.exposed, f.foreign = exposed, c.foreign
	if _, ok := errors.AsType[harmless](f.clock); ok {
		f.clock = cmp.Or(c.future, f.clock)
	}
	f.clock = cmp.Or(f.clock, c.future)
	f.older = cmp.Or(f.older, c.older)
}

// problem is the kind of a problem and its cause. The zero problem means that all is
// well.
type problem struct {
	reason event.Reason
	err    error
}

// health is what is wrong now. Its lock is never held for long.
type health struct {
	mu       sync.Mutex
	readAt   time.Time
	wroteAt  time.Time
	problems []KeyringProblem
	unopened error // of the last update

	signs      atomic.Bool // a remote signer fails
	signErr    error       // why; nil if none fails
	signFailed time.Time   // the last failure
}

// signerCalm is how long a signer must not have failed before it counts as well
// again. So a signer that fails now and then is one event and not many.
const signerCalm = 10 * time.Second

// signed records the result of signing with a remote signer, and returns the changes.
func (h *health) signed(kid string, err error) (changes []problem) {
	if err == nil && !h.signs.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case err != nil:
		h.signErr, h.signFailed = fmt.Errorf("jwks: the key %s does not sign: %w", kid, err), now
		h.signs.Store(true)
	case h.signErr == nil || now.Sub(h.signFailed) < signerCalm:
		return nil
	default:
		h.signErr = nil
		h.signs.Store(false)
	}
	var list []problem
	for _, p := range h.problems {
		if p.Reason != event.KeysUnavailable {
			list = append(list, problem{p.Reason, p.Err})
		}
	}
	if err := cmp.Or(h.unopened, h.signErr); err != nil {
		list = append([]problem{{event.KeysUnavailable, err}}, list...)
	}
	return h.settle(list, nil)
}

func (h *health) signerFails() bool { return h.signs.Load() }

func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.problems, func(p KeyringProblem) bool { return p.Reason == event.KeysNotWritten })
}

func (h *health) list() []KeyringProblem {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.problems)
}

// apply records what an update found, and returns the changes.
func (h *health) apply(f found) (changes []problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	var list []problem
	add := func(reason event.Reason, err error) {
		if err != nil {
			list = append(list, problem{reason, err})
		}
	}
	before := func(reason event.Reason) error {
		for _, p := range h.problems {
			if p.Reason == reason {
				return p.Err
			}
		}
		return nil
	}
	add(event.StoreUnavailable, f.read)
	if f.write == nil && !f.saved {
		f.write = before(event.KeysNotWritten) // no write was tried
	}
	if f.read != nil { // the rest is unchanged
		f.foreign, f.exposed = before(event.StateForeign), before(event.KeysExposed)
		f.clock = cmp.Or(f.clock, before(event.ClockOff))
	} else {
		h.readAt, h.unopened = now, f.unopened
	}
	if f.saved {
		h.wroteAt = now
	}
	add(event.KeysUnavailable, cmp.Or(h.unopened, h.signErr))
	add(event.KeysNotWritten, f.write)
	add(event.StateForeign, f.foreign)
	add(event.ClockOff, f.clock)
	add(event.KeysExposed, f.exposed)
	reason := event.StateOlder
	if errors.Is(f.older, errFuture) {
		reason = event.ClockOff
	}
	switch {
	case f.older == nil:
	case f.write != nil: // it could not be repaired
		add(reason, f.older)
	case before(reason) == nil:
		changes = append(changes, problem{reason, f.older})
	}
	return h.settle(list, changes)
}

// settle makes a list the current problems, and adds what that changes.
func (h *health) settle(list, changes []problem) []problem {
	worse := len(h.problems) > 0
	problems := make([]KeyringProblem, len(list))
	for i, p := range list {
		problems[i] = KeyringProblem{p.reason, time.Now(), p.err}
		j := slices.IndexFunc(h.problems, func(k KeyringProblem) bool { return k.Reason == p.reason })
		if j >= 0 {
			problems[i].Since = h.problems[j].Since
		} else {
			changes = append(changes, p)
		}
	}
	h.problems = problems
	if worse && len(problems) == 0 {
		changes = append(changes, problem{})
	}
	return changes
}

// release ends an update. Then it reports what changed: problems, and the signing
// key.
func (r *Keyring) release(ctx context.Context, f found) {
	var changes []problem
	if f.concludes {
		changes = r.health.apply(f)
	}
	s, before, after := r.snapshot.Load(), r.signs, ""
	if s != nil {
		if i := signingAt(s.times, r.agreed(&s.state)); i >= 0 {
			after = s.Keys[i].id()
		}
		r.noteSigning(after, s)
		r.signs = &after
	}
	r.busy.Release(1)
	r.tell(ctx, changes)
	observe := event.Background(r.policy.Observe, r.policy.Quiet)
	if observe == nil {
		return
	}
	switch {
	case s == nil || before == nil || *before == after: // just opened, or no change
	case after == "":
		observe(ctx, Event{Op: event.OpRotateKey, Reason: event.KeysUnavailable, Err: errNoneSigns(s)})
	default:
		observe(ctx, Event{Op: event.OpRotateKey, KeyID: after})
	}
}

// noteSigning records which key signs.
func (r *Keyring) noteSigning(kid string, s *snapshot) {
	if r.lastSigned == nil {
		r.lastSigned = map[string]time.Time{}
	}
	if kid != "" {
		r.lastSigned[kid] = time.Now()
	}
	maps.DeleteFunc(r.lastSigned, func(kid string, _ time.Time) bool { return s.index(kid) < 0 })
}

// signedLately reports whether this replica has seen a key sign within Retain. Such a
// key must be retained, whatever its times say.
func (r *Keyring) signedLately(kid string) bool {
	at, ok := r.lastSigned[kid]
	return ok && time.Since(at) < r.policy.Retain
}

// tell reports changes of the problems.
func (r *Keyring) tell(ctx context.Context, changes []problem) {
	if len(changes) == 0 {
		return
	}
	observe := event.Background(r.policy.Observe, r.policy.Quiet)
	if observe == nil {
		return
	}
	for _, p := range changes {
		observe(ctx, Event{Op: event.OpKeyStore, Reason: p.reason, Err: p.err})
	}
}

// observeRotate reports a failed Rotate, unless the caller gave up.
func (r *Keyring) observeRotate(ctx context.Context, err error) {
	if r.policy.Observe == nil || ctx.Err() != nil {
		return
	}
	reason := event.StoreUnavailable
	if errors.Is(err, ErrUnavailable) {
		reason = event.KeysUnavailable
	}
	r.policy.Observe(ctx, Event{Op: event.OpRotateKey, Reason: reason, Err: err})
}
