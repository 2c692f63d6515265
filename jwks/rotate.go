package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rotate drops the key that signs now. It is for an emergency: an attacker may have
// the key. Ordinary rotation needs no call.
//
// The dropped key is no longer published, and the next key, which was announced long
// ago, signs. Tokens of the dropped key are refused by this process at once, by other
// replicas within Policy.Poll, and by verifiers when they next fetch the set, within
// Policy.MaxAge of that.
//
// Rotate must write the key store. If it cannot, it returns an error and the key
// still signs. If the error is [ErrOutcomeUnknown], the write may have been made.
// Then do not call Rotate again, which could drop the next key too: wait until the
// store can be read, and see in Status which key signs.
//
// If several replicas call Rotate at once, one key is dropped and the other calls
// return an error. A second Rotate within minutes of the first may find a next key
// that not every verifier has. Until they can have it, the retained key before it
// signs. Without one, Sign returns [ErrUnavailable].
//
// A dropped key does not return while one replica runs, even if the key store is set
// back. A replica that starts cannot know of that: see the package documentation.
//
// If the whole key store may have leaked, all its keys have. Stop all replicas,
// remove the store, and start them. A running replica would write its keys back.
func (r *Keyring) Rotate(ctx context.Context) error {
	if r == nil || r.snapshot.Load() == nil {
		return errZeroKeyring
	}
	if r.store == nil {
		return errors.New("jwks: a keyring of NewKeyring cannot rotate: make another one of other signers")
	}
	// Drop the key that this replica has signed with.
	s := r.snapshot.Load()
	signing := signingAt(s.times, r.agreed(&s.state))
	if signing < 0 {
		err := fmt.Errorf("%w: no key signs now, so there is none to drop", ErrUnavailable)
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
			return nil, nil // use the state that was found
		}
		next := dropped(s, r.policy, r.agreed(s), suspect)
		if len(next.Keys) == 0 {
			return nil, refused{fmt.Errorf("%w: the key that signs is the only one: retry when the next one is made", ErrUnavailable)}
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
		return errors.New("jwks: the key that signed here is already dropped or gone")
	}
	if err != nil {
		r.observeRotate(ctx, err)
	}
	return err
}

// dropped returns the state without a key that has signed. A key of the result
// without a public half is to be made. The result has no keys if there was only one.
func dropped(s *state, p Policy, now time.Time, suspect string) *state {
	i := s.index(suspect)
	next := &state{Written: now, Keys: slices.Clone(s.Keys)}
	if i != signingAt(s.times(), now) { // its turn has just ended
		next.Keys = slices.Delete(next.Keys, i, i+1)
		return next
	}
	next.announce(p, now)
	at, rest := dropAt(next.times(), p, now)
	next.Keys = slices.Delete(next.Keys, at, at+1)
	for i := range next.Keys {
		next.Keys[i].times = rest[i]
	}
	// Plan the next key in the same write. Otherwise a Rotate of another replica
	// could find a signing key with no key behind it.
	if len(next.Keys) > 0 && nextDue(next.times(), p, now) {
		next.Keys = append(next.Keys, stateKey{})
	}
	return next
}
