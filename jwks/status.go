package jwks

import (
	"context"
	"errors"
	"fmt"
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
	now := r.agreed(&s.state)
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
