package jwks

import (
	"context"
	"errors"
)

// Adopt takes the stored keys, after the key store was exchanged for that of another
// keyring on purpose, or was written by a clock that was ahead. It works for all
// replicas of this keyring at once, and without a restart; a restart takes the stored
// keys too. The keys that the replicas had are no longer published, so their tokens
// are refused. A timetable in the future is moved to this machine's clock.
func (r *Keyring) Adopt(ctx context.Context) error {
	return r.settle(ctx, func(raw []byte, err error, own *state) (*state, error) {
		if err != nil {
			return nil, err
		}
		if raw == nil {
			return nil, errors.New("jwks: Adopt: the key store is empty")
		}
		stored, err := readState(raw, own)
		if err != nil {
			return nil, err
		}
		next := r.without(stored, union(own.Dropped, stored.Dropped))
		if len(next.Keys) == 0 {
			return nil, errors.New("jwks: Adopt: every stored key was dropped by Keyring.Rotate: call Keyring.Reclaim to write the keys of this replica over them")
		}
		if next.Lineage != own.Lineage {
			next.Succeeds = own.Lineage
		}
		next.Generation = max(stored.Generation, own.Generation) + 1
		if r.future(next) != nil {
			next.shift(r.clock.steady().Sub(next.Written))
		}
		return next, nil
	})
}

// Reclaim writes the keys of this replica over the stored ones, after the keys of
// another keyring were put there by mistake. With [Sealed] it also replaces keys that
// were sealed under another label.
func (r *Keyring) Reclaim(ctx context.Context) error {
	return r.settle(ctx, func(raw []byte, err error, own *state) (*state, error) {
		if unopened, ok := errors.AsType[*otherSeal](err); err != nil && (!ok || !unopened.foreign(own)) {
			return nil, err
		}
		next := &state{}
		*next = *own
		if stored, err := readState(raw, own); err == nil && stored.continues(own) {
			next = r.survivors(own, stored, union(stored.Dropped, own.Dropped))
			next.Generation = max(stored.Generation, own.Generation)
		}
		if len(next.Keys) == 0 {
			return nil, errors.New("jwks: Reclaim: every key of this replica was dropped by Keyring.Rotate")
		}
		next = next.writtenAt(r.agreed(next))
		next.Generation++
		return next, nil
	})
}

// settle writes the state that an operator decided on.
func (r *Keyring) settle(ctx context.Context, decide func(raw []byte, err error, own *state) (*state, error)) error {
	if r == nil || r.snapshot.Load() == nil {
		return errZeroKeyring
	}
	if r.store == nil {
		return errors.New("jwks: a keyring of NewKeyring has no key store")
	}
	if r.closed.Load() {
		return errClosed
	}
	if err := r.busy.Acquire(ctx, 1); err != nil {
		return err
	}
	defer r.busy.Release(1)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for range maxRaces {
		read := r.clock.read()
		raw, _, unread := r.load(ctx)
		next, err := decide(raw, unread, &r.snapshot.Load().state)
		if err != nil {
			return err
		}
		blob, err := next.blob()
		if err != nil {
			return err
		}
		done, err := r.write(ctx, raw, unread, blob)
		if err != nil {
			return err
		}
		if done {
			if next.unopened() {
				next, _ = r.opened(ctx, next) // the poller retries
			}
			r.pollNow() // which reports the change
			return r.show(next, blob, read)
		}
	}
	return errTooBusy
}
