package middleware

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// Status is what a [Bearer] knows of what it depends on, for an operator. It holds no
// token. As JSON its errors are texts.
type Status struct {
	// Keys is why keys could not be had for the latest token that needed one. Nil when
	// they could, or none was needed yet. Config.Keys may have a Status that says more.
	Keys error

	// Revocations is why the latest look-up by Config.Revoked failed, or the issuer's
	// failure to answer introspection. Nil when it did not fail.
	Revocations error

	Hits   uint64 // requests whose token was in the cache of verified tokens
	Misses uint64 // signature checks, also of tokens that were then refused

	Cached  int // verified tokens in the cache
	Answers int // answers of introspection in the cache
	Asking  int // tokens that the issuer is being asked about
}

// Status reports what the Bearer knows. It does no I/O and waits for nothing.
func (b *Bearer) Status() Status {
	if !b.usable() {
		return Status{Keys: errUnusable}
	}
	s := Status{Keys: b.keysFailed.latest(0), Revocations: b.revokedFailed.latest(0), Hits: b.hits.total(), Misses: b.misses.total(), Cached: b.cache.Len()}
	if b.introspector != nil {
		s.Answers, s.Asking, s.Revocations = b.introspector.status()
	}
	return s
}

// recently is how long a failure counts for Ready. Where a probe takes an API that is
// not ready out of service, no request would find out that it is over.
const recently = 10 * time.Second

// Ready returns nil when all is well. A readiness endpoint should fail for an error
// that is a [jwks.ErrUnavailable]: tokens cannot be checked now. Any other is trouble
// of Config.Keys that does not stop them yet. Its answer should not show the error:
// that is for operators. It asks
// Config.Keys if that is a [jwks.Checker], which may fetch keys. Of what cannot be asked
// without a token (Config.Revoked, introspection, another source) it reports a failure
// of the last seconds.
func (b *Bearer) Ready(ctx context.Context) error {
	if !b.usable() {
		return notServing{errUnusable}
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
	return nil
}

// outcome is how the latest use of something ended. Requests share it, so it is
// written only when that changes, or fails.
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

// latest returns the failure, unless it is older than that; 0: however old it is.
func (o *outcome) latest(within time.Duration) error {
	f := o.failure.Load()
	if f == nil || within > 0 && time.Since(f.at) > within {
		return nil
	}
	return f.err
}

// notServing marks an error of Ready as jwks.ErrUnavailable, in words of its own.
type notServing struct{ error }

func (notServing) Is(target error) bool { return target == jwks.ErrUnavailable }
func (e notServing) Unwrap() error      { return e.error }
