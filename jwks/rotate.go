package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rotate is for an emergency: it drops the key that signs now, because somebody
// else may have it. The key is no longer published, and the next one, announced
// long ago, signs. Tokens of the dropped key are refused by this process at once,
// by the other replicas within Policy.Poll, and by verifiers when they next fetch
// the set, within Policy.MaxAge of that.
//
// Rotate must write the key store. If it cannot, it returns an error and the key
// goes on signing. If the error is [ErrOutcomeUnknown], the write may have been made:
// when the key store can be read again, Status says which key signs. Do not call
// Rotate again before, or it may drop the next key too.
//
// If several replicas call Rotate at once, one key is dropped and the others
// return an error. A second Rotate within minutes of the first finds a next key
// that verifiers may not have yet. Until they can, the retained key before it
// signs, or Sign answers [ErrUnavailable] if there is none.
//
// A dropped key does not return while one replica stays up, whatever becomes of the
// key store. A restart cannot know that a store was set back: see package
// documentation.
//
// If the whole key store may have leaked, every key in it has: stop all replicas,
// remove it, and start them. A running replica would write its keys back. Ordinary
// rotation needs no call.
func (r *Keyring) Rotate(ctx context.Context) error {
	if r == nil || r.snapshot.Load() == nil {
		return errZeroKeyring
	}
	if r.store == nil {
		return errors.New("jwks: a keyring of NewKeyring cannot rotate: make one of other signers")
	}
	// The key to drop is the one that this replica has signed with.
	s := r.snapshot.Load()
	signing := signingAt(s.times, r.agreed(&s.state))
	if signing < 0 {
		err := fmt.Errorf("%w: no key signs, so there is none to drop", ErrUnavailable)
		r.observeRotate(ctx, err)
		return err
	}
	suspect := s.Keys[signing].id()
	gone := false
	change := func(_ context.Context, s *state) (*state, error) {
		if r.foreign != nil {
			return nil, refused{r.foreign}
		}
		if gone = s.index(suspect) < 0; gone {
			return nil, nil // and the state found instead is adopted
		}
		next := dropped(s, r.policy, r.agreed(s), suspect)
		if len(next.Keys) == 0 {
			return nil, refused{fmt.Errorf("%w: the key that signs is the only one: try again", ErrUnavailable)}
		}
		next.Dropped = union(s.Dropped, []string{suspect})
		next, err := r.withKeys(next, nil, true)
		if errors.Is(err, errMaking) {
			err = refused{err}
		}
		return next, err
	}
	err := r.update(ctx, change)
	for errors.Is(err, errMaking) {
		if err = cmp.Or(r.maker.wait(ctx), r.maker.failed()); err == nil {
			err = r.update(ctx, change)
		}
	}
	if err == nil && gone {
		return errors.New("jwks: the key that signed here was dropped, or is gone, already")
	}
	if err != nil {
		r.observeRotate(ctx, err)
	}
	return err
}

// dropped returns the state without a key that has signed. A key of the result
// without a public half is to be made. The result has no key if there is no other.
func dropped(s *state, p Policy, now time.Time, suspect string) *state {
	i := s.index(suspect)
	next := &state{Written: now, Keys: slices.Clone(s.Keys)}
	if i != signingAt(s.times(), now) { // its turn has ended in this moment
		next.Keys = slices.Delete(next.Keys, i, i+1)
		return next
	}
	next.announce(p, now)
	at, rest := dropAt(next.times(), p, now)
	next.Keys = slices.Delete(next.Keys, at, at+1)
	for i := range next.Keys {
		next.Keys[i].times = rest[i]
	}
	// In the same write, or a Rotate of another replica before the next write would
	// find a key that signs and none behind it.
	if len(next.Keys) > 0 && nextDue(next.times(), p, now) {
		next.Keys = append(next.Keys, stateKey{})
	}
	return next
}
