package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// Status is what an issuer knows of its background work at one moment, for operators
// and metrics. As JSON its errors are texts.
type Status struct {
	// Following reports whether the store's feed of changes was read within
	// Config.MaxRevocationLag. If not, grants and guarded routes are answered 503.
	// False before the first use.
	Following bool

	// Lag is how long ago the last poll that reached the feed's end began. 0 when
	// none has.
	Lag time.Duration

	// Sequence is that of the last change that was read.
	Sequence int64

	// FollowError is why polls fail, nil while they succeed; FollowErrorSince is when
	// that began.
	FollowError      error
	FollowErrorSince time.Time

	// ClockOffset is by how much this machine's clock is ahead of the store's, negative
	// when it is behind. 0 while the difference is less than a poll takes, or the store
	// has no clock of its own. ClockError is not nil while it is more than
	// registry.MaxClockSkew: then nothing is granted.
	ClockOffset time.Duration
	ClockError  error

	// Restoring is how many revocations are still to be written again to a feed that
	// was set back.
	Restoring int

	// RecordError is why it cannot be recorded when secrets were last used, and from
	// where; nil while it can, or nobody records it. RecordErrorSince is when that
	// began. Tokens do not depend on it.
	RecordError      error
	RecordErrorSince time.Time

	Keys jwks.KeyringStatus // of Config.Keys

	CachedClients int // clients whose record is cached
	Revocations   int // revoked tokens, and cut-offs of clients and secrets, in force
	Lookups       int // requests that wait for a client's record to be read
	SlowHashes    int // requests that wait for the hash of a chosen secret
}

// Status returns what the issuer knows now. It asks nobody and waits for nothing.
func (i *Issuer) Status() Status {
	if !i.made() {
		return Status{FollowError: errNotMade}
	}
	s := Status{
		Sequence:      i.feed.sequence.Load(),
		ClockOffset:   time.Duration(i.feed.clock.offset.Load()),
		ClockError:    i.feed.clock.check(),
		Restoring:     int(i.restoring.Load()),
		Keys:          i.keys.Status(),
		CachedClients: i.clients.clients.len(),
		Revocations:   i.revoked.len(),
		Lookups:       i.clients.lookups.queue.length(),
	}
	if current := i.feed.current.Load(); current != nil {
		s.Lag = elapsed(*current)
		s.Following = s.Lag <= i.feed.maxLag
	}
	s.FollowErrorSince, s.FollowError = i.feed.state.get()
	for _, state := range []*condition{&i.usesState, &i.networksState} {
		if since, err := state.get(); err != nil {
			s.RecordError, s.RecordErrorSince = err, since
		}
	}
	if slow := i.secrets.slow; slow != nil {
		s.SlowHashes = slow.queue.length()
	}
	return s
}

// Ready returns nil when all is well: the keyring is ready, and the store too if it
// is a registry.Checker, the store's feed is followed, and this machine's clock agrees
// with the store's. It takes at most 3 s. Its error is for operators, not for callers.
//
// A readiness probe should fail only for an error that is a [jwks.ErrUnavailable]:
// no token can be granted now. Any other is of trouble while tokens are still
// granted, such as a key store that cannot be written, and would take all replicas
// out of service at once.
func (i *Issuer) Ready(ctx context.Context) error {
	if !i.made() {
		return notGranting{errNotMade}
	}
	i.background()
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	var failed []error
	if err := i.keys.Ready(bound); err != nil {
		failed = append(failed, fmt.Errorf("issuer: the keyring is not ready: %w", err))
	}
	if checker, ok := i.store.(registry.Checker); ok {
		if err := checker.Ready(bound); err != nil {
			failed = append(failed, fmt.Errorf("issuer: the store is not ready: %w", err))
		}
	}
	if _, err := i.feed.lag(bound); err != nil {
		failed = append(failed, notGranting{err})
	}
	if err := i.feed.clock.check(); err != nil {
		failed = append(failed, notGranting{err})
	}
	return errors.Join(failed...)
}

// notGranting marks an error of Ready as jwks.ErrUnavailable, in words of its own.
type notGranting struct{ error }

func (notGranting) Is(target error) bool { return target == jwks.ErrUnavailable }
func (e notGranting) Unwrap() error      { return e.error }
