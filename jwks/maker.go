package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// This file makes keys. Policy.NewSigner may be slow, fail or hang, and each key that
// it makes stays in the KMS. So it runs beside the updates of the store, one call at
// a time, and a key that it returns late is used the next time.

const (
	// newSignerTimeout bounds the wait for a call of Policy.NewSigner.
	newSignerTimeout = 30 * time.Second

	// After a failure the timetable waits before the next call, twice as long after
	// each, up to longestMakerPause or RotateEvery, whichever is shorter. A NewSigner
	// that makes a key and then fails leaves that key in the KMS, so calls must be few.
	firstMakerPause   = time.Minute
	longestMakerPause = 24 * time.Hour
)

// errMaking is the error while the next key is being made.
var errMaking = errors.New("jwks: the next key is being made")

// maker makes keys with Policy.NewSigner. The zero value is ready to use.
type maker struct {
	mu     sync.Mutex
	closed bool
	calls  *calls
	spares []stateKey    // made, not stored yet
	ended  chan struct{} // closed at the end of the current call; nil without one
	err    error         // of the last call
	pause  time.Duration // after the last failure
	after  time.Time     // when the timetable may call again
}

// withKeys makes the keys that a planned state lacks. While one is being made the
// error is errMaking: call again when wait returns. An urgent call does not observe
// the pause after a failure.
func (r *Keyring) withKeys(s *state, err error, urgent bool) (*state, error) {
	if s == nil || err != nil {
		return nil, err
	}
	for i := range s.Keys {
		if s.Keys[i].key != nil {
			continue
		}
		made, err := r.newKey(s, urgent)
		if err != nil {
			return nil, err
		}
		made.times = s.Keys[i].times
		s.Keys[i] = made
	}
	return s, nil
}

// newKey returns a new key of the policy's algorithm. A key that Policy.NewSigner
// made and that was not stored, because another replica wrote first, is used before
// another is made.
func (r *Keyring) newKey(s *state, urgent bool) (stateKey, error) {
	alg := r.policy.Algorithm
	if r.policy.NewSigner == nil {
		private, err := jose.Generate(alg)
		if err != nil {
			return stateKey{}, err
		}
		signer, err := jose.NewSigner(private, alg)
		if err != nil {
			return stateKey{}, err
		}
		return stateKey{Signer: signer, key: signer.Key()}, nil
	}
	m := &r.maker
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, spare := range m.spares {
		if spare.algorithm() == alg && s.index(spare.id()) < 0 && !slices.Contains(s.Dropped, spare.id()) {
			return spare, nil
		}
	}
	switch {
	case m.closed:
		return stateKey{}, errClosed
	case m.ended != nil:
		return stateKey{}, errMaking
	case m.err != nil && !urgent && time.Now().Before(m.after):
		return stateKey{}, &notWritten{err: m.err}
	}
	ended := make(chan struct{})
	m.ended = ended
	r.done.Go(func() {
		err := r.make(alg)
		m.end(err, max(firstMakerPause, min(longestMakerPause, r.policy.RotateEvery)))
		close(ended)
		r.pollNow()
	})
	return stateKey{}, errMaking
}

// make makes a spare key.
func (r *Keyring) make(alg string) error {
	_, err := bounded(r.life, r.maker.slot(), "Policy.NewSigner", newSignerTimeout, func(ctx context.Context) (crypto.Signer, error) {
		private, reference, err := r.policy.NewSigner(ctx, alg)
		if err != nil {
			return nil, err
		}
		if reference == "" {
			return nil, errors.New("it returned no reference")
		}
		signer, err := jose.NewSigner(private, alg)
		if err != nil {
			return nil, err
		}
		made := stateKey{Signer: signer, key: signer.Key(), reference: reference, remote: isRemote(private)}
		if held := r.snapshot.Load(); held != nil && (held.index(made.id()) >= 0 || slices.Contains(held.Dropped, made.id())) {
			return nil, repeated(made.id())
		}
		return private, r.maker.keep(made)
	})
	if err != nil {
		return fmt.Errorf("jwks: Policy.NewSigner: %w", err)
	}
	return nil
}

// keep adds a spare key, made in time or late.
func (m *maker) keep(k stateKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.spares, func(spare stateKey) bool { return spare.id() == k.id() }) {
		return repeated(k.id())
	}
	m.spares = append(m.spares, k)
	return nil
}

// repeated is the error of a NewSigner that returned the same key twice.
func repeated(kid string) error {
	return fmt.Errorf("it returned the key %s, which it has returned before: make a new key each time (an alias, or a creation that is idempotent, returns the same one)", kid)
}

// slot returns the slot of the one call that may run.
func (m *maker) slot() *calls {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls == nil {
		m.calls = newCalls(1)
	}
	return m.calls
}

func (m *maker) end(err error, longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended, m.err = nil, err
	if err == nil {
		m.pause = 0
		return
	}
	m.pause = min(max(firstMakerPause, 2*m.pause), longest)
	m.after = time.Now().Add(m.pause)
}

// wait waits for the current call, if there is one.
func (m *maker) wait(ctx context.Context) error {
	m.mu.Lock()
	ended := m.ended
	m.mu.Unlock()
	if ended == nil {
		return ctx.Err()
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed returns the error of the last call.
func (m *maker) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// stored removes the spare keys that a written state contains.
func (m *maker) stored(s *state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spares = slices.DeleteFunc(m.spares, func(k stateKey) bool { return s.index(k.id()) >= 0 })
}

// close lets no further call begin.
func (m *maker) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}
