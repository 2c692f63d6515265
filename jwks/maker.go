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
// a time, and what it makes is used, however late.

const (
	// newSignerTimeout is how long a call of Policy.NewSigner is waited for.
	newSignerTimeout = 30 * time.Second

	// After a failure the timetable waits before the next call, twice as long
	// after each.
	firstMakerPause   = time.Minute
	longestMakerPause = 24 * time.Hour
)

// errMaking is the error of a state whose next key is being made.
var errMaking = errors.New("jwks: the next key is being made")

// maker makes keys with Policy.NewSigner. Its zero value is ready.
type maker struct {
	mu     sync.Mutex
	closed bool
	calls  *calls
	spares []stateKey    // made and not stored yet
	ended  chan struct{} // of the call that is waited for, nil when there is none
	err    error         // of the last call
	pause  time.Duration // after the last failure
	after  time.Time     // when the timetable may call again
}

// withKeys makes the keys that a planned state lacks. The error is errMaking while
// that takes time: call it again when wait returns. A pause after a failure does not
// hold up an urgent one.
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

// newKey makes a key of the policy's algorithm. One that Policy.NewSigner made and
// that was not stored, because another replica wrote first, is used the next time.
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

// keep keeps a key that was made, in time or late.
func (m *maker) keep(k stateKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.spares, func(spare stateKey) bool { return spare.id() == k.id() }) {
		return repeated(k.id())
	}
	m.spares = append(m.spares, k)
	return nil
}

// repeated is the error of a NewSigner that returned a key once more.
func repeated(kid string) error {
	return fmt.Errorf("it returned the key %s, which it has returned before: make a new key each time (an alias, or a creation that is idempotent, returns the same one)", kid)
}

// slot is that of the one call that may be under way.
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

// wait waits for the call under way, if there is one still.
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

// stored notes that a state was written: a spare key in it is none any more.
func (m *maker) stored(s *state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spares = slices.DeleteFunc(m.spares, func(k stateKey) bool { return s.index(k.id()) >= 0 })
}

// close lets no other call begin.
func (m *maker) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}
