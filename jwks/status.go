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

// KeyringStatus is what a [Keyring] is doing, for operators. Times are zero when
// they do not apply. As JSON its errors are texts.
type KeyringStatus struct {
	// Lineage names this keyring among others, Generation counts its writes, by
	// any replica. Both are empty for a keyring of NewKeyring.
	Lineage    string
	Generation int64

	// SigningKey is the kid that signs now, empty when none may. NextKey is the kid
	// that takes over at NextSigns. RetainedKeys have signed and still verify.
	SigningKey   string
	NextKey      string
	NextSigns    time.Time
	RetainedKeys []string

	// NextWrite is when the timetable needs the next write of the key store.
	// RotationStops is when keys stop to rotate if nothing can be written until
	// then: the last key that is announced goes on signing.
	NextWrite     time.Time
	RotationStops time.Time

	// ReadAt is when the key store was last read. If it cannot be read, the key
	// set is published until PublishedUntil and tokens are signed until
	// SignsUntil.
	ReadAt         time.Time
	PublishedUntil time.Time
	SignsUntil     time.Time

	// WrittenAt is when this replica last wrote the key store, or proved that it
	// can. WriteError is why it cannot now, and has failed to since
	// WriteFailsSince.
	WrittenAt       time.Time
	WriteError      error
	WriteFailsSince time.Time

	// Problems is everything that is wrong, the worst first.
	Problems []KeyringProblem
}

// KeyringProblem is something that is wrong with a [Keyring], and since when.
type KeyringProblem struct {
	Reason event.Reason // the kind of the problem
	Since  time.Time    // when it was found first
	Err    error        // the cause
}

// found is what an update found out.
type found struct {
	concludes bool // it was not ended by its caller
	saved     bool // a write succeeded

	read, write, clock, unopened, exposed, older, foreign error
}

func (f *found) reset() {
	// What a first attempt found and repaired is told too.
	*f = found{saved: f.saved, older: f.older}
}

func (f *found) note(c comparison, exposed error) {
	f.exposed, f.foreign = exposed, c.foreign
	f.clock = cmp.Or(f.clock, c.future)
	f.older = cmp.Or(f.older, c.older)
}

// problem is the kind of a problem and its cause.
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

	signs      atomic.Bool // a signer of a key that is kept elsewhere fails
	signErr    error       // why, nil when it does not
	signFailed time.Time   // when it failed last
}

// signerCalm is how long a signer must not have failed until it counts as well, so
// that one that fails now and then is one event and not many.
const signerCalm = 10 * time.Second

// signed takes in what came of signing with a key that is kept elsewhere, and
// returns the changes.
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

// apply takes in what an update found, and returns the changes.
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
		f.write = before(event.KeysNotWritten) // it was not tried
	}
	if f.read != nil { // the rest is as it was
		f.foreign, f.exposed = before(event.StateForeign), before(event.KeysExposed)
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
	case f.write != nil: // it could not be put right
		add(reason, f.older)
	case before(reason) == nil:
		changes = append(changes, problem{reason, f.older})
	}
	return h.settle(list, changes)
}

// settle makes a list the problems of now, and adds what that changes.
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

// release ends an update, and then reports what changed: problems, and the key that
// signs if it is another one than before.
func (r *Keyring) release(ctx context.Context, f found) {
	var changes []problem
	if f.concludes {
		changes = r.health.apply(f)
	}
	s, before, after := r.snapshot.Load(), r.signs, ""
	if s != nil {
		if i := signingAt(s.times, r.signingTime(&s.state)); i >= 0 {
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
	case s == nil || before == nil || *before == after: // opened, or no change
	case after == "":
		observe(ctx, Event{Op: event.OpRotateKey, Reason: event.KeysUnavailable, Err: errNoneSigns(s)})
	default:
		observe(ctx, Event{Op: event.OpRotateKey, KeyID: after})
	}
}

// noteSigning notes which key signs.
func (r *Keyring) noteSigning(kid string, s *snapshot) {
	if r.lastSigned == nil {
		r.lastSigned = map[string]time.Time{}
	}
	if kid != "" {
		r.lastSigned[kid] = time.Now()
	}
	maps.DeleteFunc(r.lastSigned, func(kid string, _ time.Time) bool { return s.index(kid) < 0 })
}

// signedLately reports whether a key must be retained because this replica has seen
// it sign, whatever its times are.
func (r *Keyring) signedLately(kid string) bool {
	at, ok := r.lastSigned[kid]
	return ok && time.Since(at) < r.policy.Retain
}

// tell reports changes of what is wrong.
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

// observeRotate reports a Rotate that failed, unless the caller gave up.
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

// Ready reports whether all is well, for operators and for a readiness endpoint. The
// error is [ErrUnavailable] when the keyring cannot sign, or cannot be published,
// now; a signer that is kept elsewhere and has failed is tried once more. Any other error says what is wrong while it still works: the key store
// cannot be written, a clock is off, or the like. Taking a replica out of service
// for one of those helps nobody.
func (r *Keyring) Ready(ctx context.Context) error {
	if _, err := r.current(ctx, publishable); err != nil {
		return err
	}
	key, err := r.signer(ctx)
	if err != nil {
		return err
	}
	if key.Signer == nil {
		err = errUnopened(key)
	} else {
		err = r.probe(ctx)
	}
	for _, p := range r.health.list() {
		if _, ok := errors.AsType[harmless](p.Err); ok {
			continue
		}
		format := "%s since %v: %w"
		if p.Reason == event.KeysUnavailable { // of one key: whether it is the one that signs is known
			format = "%s since %v: %v"
		}
		err = errors.Join(err, fmt.Errorf(format, p.Reason, p.Since.UTC().Format(time.RFC3339), p.Err))
	}
	return err
}

// Status returns what the keyring is doing. It does not wait and reads no store.
func (r *Keyring) Status() KeyringStatus {
	if r == nil || r.snapshot.Load() == nil {
		return KeyringStatus{}
	}
	s := r.snapshot.Load()
	status := KeyringStatus{Lineage: s.Lineage, Generation: s.Generation}
	now := r.signingTime(&s.state)
	signing := signingAt(s.times, now)
	for i, k := range s.Keys {
		switch {
		case i == signing:
			status.SigningKey = k.id()
		case i < signing:
			status.RetainedKeys = append(status.RetainedKeys, k.id())
		case i == signing+1 && r.store != nil:
			status.NextKey, status.NextSigns = k.id(), k.Signs
		}
	}
	status.Problems = r.health.list()
	if r.store == nil {
		return status
	}
	status.NextWrite = changesAt(s.times, r.policy, now)
	if n := len(s.times); n > 0 && !s.times[n-1].Signs.IsZero() {
		last := s.times[n-1].Signs
		status.RotationStops = last.Add(r.policy.RotateEvery)
	}
	status.PublishedUntil, status.SignsUntil = s.read.at.Add(publishable(r.policy)), s.read.at.Add(trusted(r.policy))
	r.health.mu.Lock()
	defer r.health.mu.Unlock()
	status.ReadAt, status.WrittenAt = r.health.readAt, r.health.wroteAt
	for _, p := range status.Problems {
		if p.Reason == event.KeysNotWritten {
			status.WriteError, status.WriteFailsSince = p.Err, p.Since
		}
	}
	return status
}
