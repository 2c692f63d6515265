package jwks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// KeyringStatus describes a [Keyring], for operators. Times that do not apply are
// zero. In JSON, errors are texts.
type KeyringStatus struct {
	// Lineage names this keyring. Generation counts its writes by all replicas. Both
	// are empty for a keyring of NewKeyring.
	Lineage    string
	Generation int64

	// SigningKey is the kid of the key that signs now, empty if none may. NextKey
	// takes over at NextSigns. RetainedKeys have signed, and still verify.
	SigningKey   string
	NextKey      string
	NextSigns    time.Time
	RetainedKeys []string

	// NextWrite is when the timetable next has to write the key store. If nothing can
	// be written, rotation ends at RotationStops: from then on the last announced key
	// signs for longer than RotateEvery.
	NextWrite     time.Time
	RotationStops time.Time

	// ReadAt is when the key store was last read. If it cannot be read again, the key
	// set is published until PublishedUntil and tokens are signed until SignsUntil.
	ReadAt         time.Time
	PublishedUntil time.Time
	SignsUntil     time.Time

	// WrittenAt is when this replica last wrote the key store. WriteError is why it
	// cannot write now, nil if it can. Writes have failed since WriteFailsSince.
	WrittenAt       time.Time
	WriteError      error
	WriteFailsSince time.Time

	// Problems lists all that is wrong now, the worst first.
	Problems []KeyringProblem
}

// KeyringProblem is something that is wrong with a [Keyring].
type KeyringProblem struct {
	Reason event.Reason // its kind
	Since  time.Time    // when it was first found
	Err    error        // its cause
}

// Ready returns nil if all is well, and otherwise what is wrong. It is for operators
// and for a readiness endpoint.
//
// The error is [ErrUnavailable] if the keyring cannot sign or cannot be published
// now. Any other error names something that is wrong while the keyring still works,
// such as a key store that cannot be written or a clock that is off: report it, but
// keep the replica in service. Ready tries a signer that has failed once more.
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
		if p.Reason == event.KeysUnavailable { // not ErrUnavailable: it may be of a key that does not sign
			format = "%s since %v: %v"
		}
		err = errors.Join(err, fmt.Errorf(format, p.Reason, p.Since.UTC().Format(time.RFC3339), p.Err))
	}
	return err
}

// Status returns what the keyring is doing. It does not wait, and does not read the
// store.
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
