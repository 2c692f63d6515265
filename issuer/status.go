package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// Status is a snapshot of an issuer's background work, for operators and metrics. In
// JSON its errors are texts.
type Status struct {
	// Following is whether the store's feed of changes was read within
	// Config.MaxRevocationLag. If not, the issuer grants nothing and guards answer 503.
	// It is false before the first use.
	Following bool

	// Lag is how long ago the last poll that reached the end of the feed began. It is 0
	// before the first one.
	Lag time.Duration

	// Sequence is the sequence up to which the feed was read.
	Sequence int64

	// FollowError is the error of the last poll, nil if it succeeded. FollowErrorSince is
	// when polls began to fail.
	FollowError      error
	FollowErrorSince time.Time

	// ClockOffset is how far this machine's clock is ahead of the store's; negative:
	// behind. It is 0 while the difference is less than a poll takes, or if the store has
	// no clock of its own. ClockError is not nil while the offset is more than
	// registry.MaxClockSkew; then nothing is granted.
	ClockOffset time.Duration
	ClockError  error

	// Restoring is how many revocations are still to be restored to a feed that was set
	// back.
	Restoring int

	// RecordError is the error of recording the last use of secrets, and the addresses of
	// clients. It is nil while that works, or if the store records neither.
	// RecordErrorSince is when it began. Tokens do not depend on it.
	RecordError      error
	RecordErrorSince time.Time

	Keys jwks.KeyringStatus // of Config.Keys

	CachedClients int // cached client records
	Revocations   int // live revocations of tokens, and cut-offs of clients and secrets
	Lookups       int // requests that wait for a slot to read a client record
	SlowHashes    int // requests that wait for a slot to hash a chosen secret
}

// Status returns a snapshot. It reads memory only, and waits for nothing.
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

// Ready returns nil if the keyring is ready, the store is ready (if it is a
// registry.Checker), the store's feed is read, and this machine's clock agrees with the
// store's. It takes at most 3 s. Its error is for operators, not for callers.
//
// A readiness probe should fail only if errors.Is(err, [jwks.ErrUnavailable]): no token
// can be granted now. With any other error tokens are still granted, for example when
// the key store cannot be written. A probe that fails for it takes all replicas out of
// service at once.
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

// notGranting makes an error of Ready a jwks.ErrUnavailable, and keeps its text.
type notGranting struct{ error }

func (notGranting) Is(target error) bool { return target == jwks.ErrUnavailable }
func (e notGranting) Unwrap() error      { return e.error }
