package middleware

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// Status is the state of a [Bearer] and of what it depends on, for operators. It holds
// no token. As JSON its errors are texts.
type Status struct {
	// Keys is why the latest token that needed a key did not get one. Nil if it did, or
	// if none was needed yet. The Status of Config.Keys, if it has one, says more.
	Keys error

	// Revocations is why the latest call of Config.Revoked or the latest introspection
	// failed. Nil if it did not.
	Revocations error

	// Replays is why it could not be told whether the latest proof was used before. Nil if
	// it could.
	Replays error

	Hits   uint64 // requests whose token was in the cache of verified tokens
	Misses uint64 // signature checks, also of tokens that were then refused

	Issuer  string             `json:",omitempty"` // whose tokens are checked; "" with Members
	Fetched *jwks.RemoteStatus `json:",omitempty"` // the keys that New found itself; nil if Config.Keys is set
	Members []Status           `json:",omitempty"` // of Any and AnyTenant: the Bearer of each issuer; the other fields are their sums

	Cached  int // verified tokens in the cache
	Answers int // answers of introspection in the cache
	Asking  int // tokens that the issuer is being asked about
}

// Status returns the state of the Bearer. It does no I/O and does not block.
func (b *Bearer) Status() Status {
	if !b.usable() {
		return Status{Keys: errUnusable}
	}
	if b.members != nil {
		return b.members.status()
	}
	s := Status{Keys: b.keysFailed.latest(0), Revocations: b.revokedFailed.latest(0), Replays: b.replaysFailed.latest(0), Hits: b.hits.total(), Misses: b.misses.total(), Cached: b.cache.Len()}
	s.Issuer = b.issuer
	if b.remote != nil {
		fetched := b.remote.Status()
		s.Fetched = &fetched
	}
	if b.introspector != nil {
		s.Answers, s.Asking, s.Revocations = b.introspector.status()
	}
	return s
}

// recently is how long a failure counts for Ready. An API that is not ready may get no
// requests, so no request would end the failure.
const recently = 10 * time.Second

// Ready returns nil if tokens can be checked. With an error that is
// [jwks.ErrUnavailable] they cannot, and a readiness endpoint should fail. Any other
// error is a problem of Config.Keys that does not stop the checks yet. Do not show the
// error in the answer: it is for operators.
//
// Ready asks Config.Keys if that is a [jwks.Checker], which may fetch keys. Config.Revoked,
// introspection, Replay of Config.DPoP and other sources cannot be asked without a token, so
// Ready reports their failure for 10 s.
//
// Of a Bearer of several issuers it asks all, and tokens of one can be checked while those
// of another cannot. So the error is jwks.ErrUnavailable only if that is so of each member
// of [Any].
func (b *Bearer) Ready(ctx context.Context) error {
	if !b.usable() {
		return notServing{errUnusable}
	}
	if b.members != nil {
		return b.members.ready(ctx)
	}
	if checker, ok := b.keys.(jwks.Checker); ok {
		if err := checker.Ready(ctx); err != nil {
			return fmt.Errorf("middleware: keys: %w", err)
		}
	} else if err := b.keysFailed.latest(recently); err != nil {
		return notServing{fmt.Errorf("middleware: keys: %w", err)}
	}
	err := b.revokedFailed.latest(recently)
	if b.introspector != nil {
		err = b.introspector.ready()
	}
	if err != nil {
		return notServing{fmt.Errorf("middleware: revocations: %w", err)}
	}
	// A memory that is full for one client is no reason: others are served.
	if b.dpop != nil && b.dpop.shared {
		if err := b.replaysFailed.latest(recently); err != nil {
			return notServing{fmt.Errorf("middleware: replays of DPoP proofs: %w", err)}
		}
	}
	return nil
}

// outcome is the result of the latest use of something. All requests share it, so
// success writes only after a failure.
type outcome struct{ failure atomic.Pointer[failure] }

type failure struct {
	err error
	at  time.Time
}

func (o *outcome) record(err error) {
	switch {
	case err == nil:
		if o.failure.Load() != nil {
			o.failure.Store(nil)
		}
	case errors.Is(err, context.Canceled): // the caller left
	default:
		o.failure.Store(&failure{err, time.Now()})
	}
}

// latest returns the failure unless it is older than within. 0 means any age.
func (o *outcome) latest(within time.Duration) error {
	f := o.failure.Load()
	if f == nil || within > 0 && time.Since(f.at) > within {
		return nil
	}
	return f.err
}

// notServing makes an error of Ready a jwks.ErrUnavailable and keeps its text.
type notServing struct{ error }

func (notServing) Is(target error) bool { return target == jwks.ErrUnavailable }
func (e notServing) Unwrap() error      { return e.error }
