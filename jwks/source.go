package jwks

import (
	"context"
	"errors"
	"fmt"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// ErrUnknownKey is the error of a [Source] for a key that is not in its current set.
// The token is not valid: answer 401.
var ErrUnknownKey = errors.New("jwks: unknown key")

// ErrUnavailable is the error when no key set can be trusted now, or no key may sign.
// It says nothing about a token: answer 503, not 401.
var ErrUnavailable = errors.New("jwks: keys unavailable")

// Source finds the public key of a token. [Keyring], [Remote] and [Fixed] are
// Sources. To write your own, use [jose.NewKey] and [jose.NewSet].
//
// Several keys may share a kid if their algorithms differ; EdDSA and Ed25519 are one
// algorithm. An empty alg means the only key with that kid.
//
// The error is [ErrUnknownKey] when the set is current and has no such key,
// [ErrUnavailable] when no set can be trusted now, or the context's error.
//
// Key returns the same pointer as long as the key is in the set, so a verifier that
// cached a token can call it again and compare pointers. It is called for every
// request, by many goroutines: find a key of a current set without a lock, an
// allocation or a wait.
type Source interface {
	// Key returns the key with this kid for this alg.
	Key(ctx context.Context, kid, alg string) (*jose.Key, error)
}

// Event is what Observe receives: see package event.
type Event = event.Event

// Fixed is a [Source] of keys that never change, such as pinned keys or keys from a
// file. The zero Fixed, nil, and a Fixed without keys return [ErrUnavailable].
type Fixed struct {
	set     *jose.Set
	skipped []jose.Skipped // of the set
}

// NewFixed returns a Source of a set from [jose.NewSet] or [jose.ParseSet]. To change
// the keys, make another Source.
//
// ParseSet skips entries that it cannot use, such as private keys: see
// [jose.Set.Skipped]. If nothing in the set is usable, the Source returns
// [ErrUnavailable] and says why.
func NewFixed(set *jose.Set) *Fixed { return &Fixed{set, set.Skipped()} }

// Key returns the key with this kid for this alg.
func (f *Fixed) Key(_ context.Context, kid, alg string) (*jose.Key, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if key := f.set.Find(kid, alg); key != nil {
		return key, nil
	}
	return nil, unknownKey(kid, f.skipped)
}

// unknownKey returns ErrUnknownKey, with the reason if the set has an entry with this
// id that cannot be used. It searches only a few entries, because any caller can send
// an unknown id.
func unknownKey(kid string, skipped []jose.Skipped) error {
	const most = 32
	for _, s := range skipped[:min(len(skipped), most)] {
		if s.KeyID == kid && kid != "" {
			return fmt.Errorf("%w: the set has %.60q, but it cannot be used: %w", ErrUnknownKey, kid, s.Err)
		}
	}
	return ErrUnknownKey
}

// Ready returns nil if the set has a key.
func (f *Fixed) Ready(context.Context) error { return f.check() }

func (f *Fixed) check() error {
	switch {
	case f == nil || f.set.Len() == 0 && len(f.skipped) == 0:
		return errNoFixedKeys
	case f.set.Len() == 0:
		return fmt.Errorf("%w: the fixed set has no usable key: %s", ErrUnavailable, describe(f.skipped))
	}
	return nil
}

var errNoFixedKeys = fmt.Errorf("%w: the fixed set has no keys", ErrUnavailable)

// Checker is a [Source] that can say whether it can serve. [Keyring], [Remote] and
// [Fixed] are Checkers. A guard's own readiness check calls it.
type Checker interface {
	// Ready returns why the Source cannot find any key now, or nil. It may fetch,
	// within the context.
	Ready(ctx context.Context) error
}
