package jwks

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// This file calls private keys that are kept elsewhere, such as in a KMS. They may be
// slow, fail or hang. A crypto.Signer takes no context, so each call runs in a
// goroutine of its own, and its caller leaves at a deadline.

const (
	// signerTimeout bounds one call of a signer, and of Policy.OpenSigner.
	signerTimeout = 5 * time.Second

	// slowSign is how long a caller that gives up must have waited before that counts
	// as a failure of the signer.
	slowSign = time.Second

	// maxSignerCalls bounds the calls under way, and so the goroutines that a hung
	// KMS can hold.
	maxSignerCalls = 64
)

// calls are the calls of one kind to a KMS. Make one with newCalls. Each kind has
// slots of its own, so hung calls of another kind do not stop a key that signs.
type calls struct {
	limit int64
	slots *semaphore.Weighted
	stuck atomic.Int64 // calls that their callers left and that have not returned
}

func newCalls(limit int64) *calls {
	return &calls{limit: limit, slots: semaphore.NewWeighted(limit)}
}

// bounded runs f, and returns at the deadline even if f has not returned.
func bounded[T any](ctx context.Context, c *calls, what string, timeout time.Duration, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	late := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s did not answer within %v", ErrUnavailable, what, timeout)
	}
	if !c.slots.TryAcquire(1) {
		if c.stuck.Load() >= c.limit {
			return none, fmt.Errorf("%w: %s: %d of %d calls hang", ErrUnavailable, what, c.stuck.Load(), c.limit)
		}
		if c.slots.Acquire(limited, 1) != nil {
			return none, late()
		}
	}
	const finished, abandoned = 1, 2
	var ended atomic.Int32
	done := make(chan result, 1)
	go func() {
		r := result{err: errGoexit}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("jwks: %s panicked: %v", what, p)
			}
			if !ended.CompareAndSwap(0, finished) {
				c.stuck.Add(-1)
			}
			c.slots.Release(1)
			done <- r
		}()
		r.value, r.err = f(limited)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-limited.Done():
	}
	if ended.CompareAndSwap(0, abandoned) {
		c.stuck.Add(1)
		return none, late()
	}
	r := <-done // f has just returned
	return r.value, r.err
}

var errGoexit = errors.New("jwks: the call ended its goroutine (runtime.Goexit)")

// isRemote reports whether a private key may be kept elsewhere. Keys of the standard
// library are in this process and cannot hang.
func isRemote(private crypto.Signer) bool {
	switch private.(type) {
	case *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey, *ed25519.PrivateKey:
		return false
	}
	return true
}

// sign returns a token signed with a key. It records how a remote signer does.
func (r *Keyring) sign(ctx context.Context, k *stateKey, typ string, payload []byte) (string, error) {
	switch {
	case k.Signer == nil:
		return "", errUnopened(k)
	case !k.remote:
		return k.Sign(typ, payload)
	}
	began := time.Now()
	payload = bytes.Clone(payload) // the caller may change it while the call hangs
	token, err := bounded(ctx, r.calls, "the signer of key "+k.id(), signerTimeout, func(context.Context) (string, error) { return signVerified(k, typ, payload) })
	if err != nil && !errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err == nil || ctx.Err() == nil || errors.Is(err, context.DeadlineExceeded) && time.Since(began) >= slowSign {
		r.tell(ctx, r.health.signed(k.id(), err))
	}
	return token, err
}

// signVerified signs with a remote key and verifies the result: a KMS that signs with
// another key makes tokens that no verifier accepts. The check takes up to 0.1 ms, a
// call to a KMS several milliseconds.
func signVerified(k *stateKey, typ string, payload []byte) (string, error) {
	token, err := k.Sign(typ, payload)
	if err != nil {
		return "", err
	}
	made, err := jose.Parse(token, len(token))
	if err == nil {
		_, err = made.Verify(k.key)
	}
	if err != nil {
		return "", fmt.Errorf("jwks: the signer of key %s returned a wrong signature: %w", k.id(), err)
	}
	return token, nil
}

func errUnopened(k *stateKey) error {
	return fmt.Errorf("%w: the private key of %s could not be opened", ErrUnavailable, k.id())
}

// probe tries a signer that failed, so that its recovery is seen without a request.
// It throws the signature away.
func (r *Keyring) probe(ctx context.Context) error {
	if !r.health.signerFails() {
		return nil
	}
	k, err := r.signer(ctx)
	if err != nil {
		return err
	}
	if _, err = r.sign(ctx, k, "probe", []byte("{}")); err != nil && !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: the signer of key %s: %w", ErrUnavailable, k.id(), err)
	}
	return err
}

// opened returns the state with the signers that Policy.OpenSigner opens for its
// references. Keys that cannot be opened are still published.
func (r *Keyring) opened(ctx context.Context, s *state) (*state, error) {
	next := &state{}
	*next = *s
	next.Keys = slices.Clone(s.Keys)
	failed := make([]error, len(next.Keys))
	var all sync.WaitGroup
	for i := range next.Keys {
		k := &next.Keys[i]
		if k.Signer != nil {
			continue
		}
		all.Go(func() {
			signer, remote, err := r.open(ctx, k)
			if err != nil {
				failed[i] = fmt.Errorf("jwks: the key %s cannot be opened: %w", k.id(), err)
				return
			}
			k.Signer, k.remote = signer, remote
		})
	}
	all.Wait()
	return next, errors.Join(failed...)
}

func (s *state) unopened() bool {
	for _, k := range s.Keys {
		if k.key != nil && k.Signer == nil {
			return true
		}
	}
	return false
}

func (r *Keyring) open(ctx context.Context, k *stateKey) (signer *jose.Signer, remote bool, err error) {
	if r.policy.OpenSigner == nil {
		return nil, false, errors.New("the store holds a reference to it: set Policy.NewSigner and Policy.OpenSigner")
	}
	type openedKey struct {
		*jose.Signer
		remote bool
	}
	opened, err := bounded(ctx, r.opens.of(k.reference), "Policy.OpenSigner", signerTimeout, func(ctx context.Context) (openedKey, error) {
		private, err := r.policy.OpenSigner(ctx, k.reference)
		if err != nil {
			return openedKey{}, err
		}
		signer, err := jose.NewSigner(private, k.algorithm())
		return openedKey{signer, isRemote(private)}, err
	})
	r.opens.returned(k.reference)
	if err != nil {
		return nil, false, err
	}
	if !opened.Key().Equal(k.key) {
		return nil, false, errors.New("Policy.OpenSigner returned another key than the stored one")
	}
	return opened.Signer, opened.remote, nil
}

// opens are the calls of Policy.OpenSigner under way, at most one for a reference.
// The zero value is ready to use.
type opens struct {
	mu    sync.Mutex
	calls map[string]*calls // by reference
}

func (o *opens) of(reference string) *calls {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.calls[reference]
	if c == nil {
		c = newCalls(1)
		if o.calls == nil {
			o.calls = map[string]*calls{}
		}
		o.calls[reference] = c
	}
	return c
}

// returned deletes the entry of a reference, unless a call for it hangs.
func (o *opens) returned(reference string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.calls[reference]; c != nil && c.stuck.Load() == 0 {
		delete(o.calls, reference)
	}
}
