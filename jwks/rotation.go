package jwks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Rotate drops the key that signs now, because somebody else may have it: it is
// no longer published, and the next key, announced long ago, signs. Its tokens
// are refused by this process at once, by the other replicas within Policy.Poll,
// and by verifiers when they next fetch the set, within Policy.MaxAge of that.
// Several replicas told to rotate at once drop one key; at those that come too
// late for that, the error says so. A second Rotate within
// minutes of the first finds a next key that verifiers may not have yet; until
// they can, the retained key before it signs, and if there is none Sign answers
// ErrUnavailable.
//
// If the whole key store may have leaked, every key in it has: remove it and
// restart instead.
//
// Ordinary rotation needs no call.
func (r *Keyring) Rotate(ctx context.Context) error {
	if r.store == nil {
		return errors.New("jwks: a static keyring cannot rotate: make one of other signers")
	}
	v := r.view.Load() // the key that this replica has signed with is the one that is meant
	signing := signingAt(v.times, r.shared(&v.state))
	if signing < 0 {
		return fmt.Errorf("%w: no key signs, so there is none to drop", ErrUnavailable)
	}
	suspect := v.Keys[signing].id()
	gone := false
	err := r.update(ctx, func(s *state) (*state, error) {
		if gone = !slices.ContainsFunc(s.Keys, func(k stateKey) bool { return k.id() == suspect }); gone {
			return nil, nil // and what is there instead is taken over
		}
		return r.drop(s, suspect)
	})
	if err == nil && gone {
		return errors.New("jwks: the key that signed here was dropped, or is gone, already")
	}
	return err
}

// plan is the timetable applied to a state: nil when nothing is due.
func (r *Keyring) plan(s *state) (*state, error) { return r.planAs(s, false) }

// adopt is plan at start-up, when a changed Policy.Algorithm takes effect too:
// keys announced under the old one, which have signed nothing, make way.
func (r *Keyring) adopt(s *state) (*state, error) { return r.planAs(s, true) }

func (r *Keyring) planAs(s *state, adopt bool) (*state, error) {
	now := r.shared(s)
	if len(s.Keys) == 0 { // nothing was stored yet
		return r.first(now)
	}
	// A new signing key is worth a write: it tells replicas with slow clocks.
	changed := signingAt(s.times(), s.Written) != signingAt(s.times(), now)
	next := &state{Written: now, Keys: slices.Clone(s.Keys)}
	if next.announce(r.policy, now) {
		changed = true
	}
	if gone := goneAt(next.times(), r.policy, now); gone > 0 {
		next.Keys = next.Keys[gone:]
		changed = true
	}
	due := nextDue(next.times(), r.policy, now)
	if n := len(next.Keys); adopt && n > 0 && next.Keys[n-1].algorithm() != r.policy.Algorithm {
		// No replica acts on a view older than Announce, so none will sign with
		// a key that was not to sign before that.
		for n > 1 && next.Keys[n-1].Signs.After(now.Add(r.policy.Announce)) {
			n--
		}
		next.Keys, due = next.Keys[:n], true
	}
	if n := len(next.Keys); adopt && n > 1 {
		// A shorter RotateEvery does not wait for a turn by the longer one, and
		// this much notice reaches every replica.
		turn := later(next.Keys[n-2].Signs.Add(r.policy.RotateEvery), now.Add(r.policy.Announce))
		if !next.Keys[n-1].Signs.IsZero() && next.Keys[n-1].Signs.After(turn) {
			next.Keys[n-1].Signs, changed = turn, true
		}
	}
	if due && len(next.Keys) >= maxKeys/4 {
		return nil, fmt.Errorf("jwks: the keyring holds %d keys: restarts with ever another Policy.Algorithm announce one each; let all replicas have the same", len(next.Keys))
	}
	if due {
		key, err := generate(r.policy.Algorithm)
		if err != nil {
			return nil, err
		}
		next.Keys = append(next.Keys, stateKey{Signer: key})
		changed = true
	}
	if !changed {
		return nil, nil
	}
	return next, nil
}

// first is the state of a new keyring. It signs at once, since nobody can hold an
// older set. For the same reason the second key counts as announced long ago: no
// set without it was ever published.
func (r *Keyring) first(now time.Time) (*state, error) {
	s := &state{Written: now}
	for _, t := range []times{{now, now}, {now.Add(-r.policy.visible()), now.Add(r.policy.RotateEvery)}} {
		key, err := generate(r.policy.Algorithm)
		if err != nil {
			return nil, err
		}
		s.Keys = append(s.Keys, stateKey{t, key})
	}
	return s, nil
}

func generate(alg string) (*jose.Signer, error) {
	private, err := jose.Generate(alg)
	if err != nil {
		return nil, err
	}
	return jose.NewSigner(private, alg)
}

// drop is the state without a key that was found to sign.
func (r *Keyring) drop(s *state, suspect string) (*state, error) {
	now := r.shared(s)
	i := slices.IndexFunc(s.Keys, func(k stateKey) bool { return k.id() == suspect })
	if i != signingAt(s.times(), now) { // its turn has ended in this moment
		return &state{Written: now, Keys: slices.Delete(slices.Clone(s.Keys), i, i+1)}, nil
	}
	next := &state{Written: now, Keys: slices.Clone(s.Keys)}
	next.announce(r.policy, now)
	dropped, rest := dropAt(next.times(), r.policy, now)
	next.Keys = slices.Delete(next.Keys, dropped, dropped+1)
	for i := range next.Keys {
		next.Keys[i].times = rest[i]
	}
	if len(next.Keys) == 0 {
		return nil, fmt.Errorf("%w: the key that signs is the only one: try again", ErrUnavailable)
	}
	// In the same write, or a Rotate of another replica between this one and the
	// next would find a key that signs and none behind it.
	if nextDue(next.times(), r.policy, now) {
		key, err := generate(r.policy.Algorithm)
		if err != nil {
			return nil, err
		}
		next.Keys = append(next.Keys, stateKey{Signer: key})
	}
	return next, nil
}
