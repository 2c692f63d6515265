package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Keyring is an issuer's private keys. It signs with the current one, makes and
// announces the next, publishes the public halves as an [http.Handler], and is a
// [Source] for a verifier in the same process.
//
// Any number of replicas can share one [KeyStore]; there is no leader. A replica
// that could not read the store for so long that others may have rotated stops
// signing and publishing: it answers [ErrUnavailable].
//
// Make one with [Open] or [NewKeyring]. The zero Keyring and nil answer
// ErrUnavailable.
type Keyring struct {
	store    KeyStore // nil for NewKeyring
	policy   Policy
	skew     time.Duration // added to this replica's clock, by tests
	snapshot atomic.Pointer[snapshot]

	polling sync.Once
	closed  atomic.Bool
	life    context.Context // ends with Close
	end     context.CancelFunc
	done    sync.WaitGroup

	// busy is held while the store is read and written. Unlike a mutex, a caller
	// whose context ends can stop waiting for it.
	busy     *semaphore.Weighted
	lastErr  error // of the last update
	failedAt time.Time
	signs    *string // kid that signed after the last update, for events; "" when none did
}

// Open opens the keyring in the store, and makes the first keys when the store is
// empty. Replicas that open one store together get one key set.
//
// A store that cannot be read is an error that says what to do. Its content is
// never replaced by new keys. A policy that cannot be kept is an error that names
// the field.
func Open(ctx context.Context, store KeyStore, policy Policy) (*Keyring, error) {
	if store == nil {
		return nil, errors.New(`jwks: Open needs a KeyStore: write jwks.File("keys.json")`)
	}
	policy, err := policy.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newOpened(store, policy)
	if err := r.update(ctx, r.planAtStart); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

func newOpened(store KeyStore, policy Policy) *Keyring {
	r := &Keyring{store: store, policy: policy, busy: semaphore.NewWeighted(1)}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// NewKeyring makes a keyring of keys that are kept elsewhere: in a KMS, in an HSM,
// in a file of the caller's. The first one signs. All are published, so list the
// key before it and the key after it behind it. ECDSA keys sign with the algorithm
// of their curve, Ed25519 keys with EdDSA, RSA keys with RS256. Such a keyring
// never rotates and needs no Close.
//
// Not checked: that a signer works. A signer that fails makes Sign fail.
func NewKeyring(signers ...crypto.Signer) (*Keyring, error) {
	if len(signers) == 0 {
		return nil, errors.New("jwks: NewKeyring needs at least one crypto.Signer")
	}
	s := &state{}
	for i, private := range signers {
		signer, err := jose.NewSigner(private, "")
		if err != nil {
			return nil, fmt.Errorf("jwks: signer %d: %w", i+1, err)
		}
		if slices.ContainsFunc(s.Keys, func(k stateKey) bool { return k.id() == signer.Key().ID() }) {
			return nil, fmt.Errorf("jwks: signer %d has the key of one before it: leave it out", i+1)
		}
		s.Keys = append(s.Keys, stateKey{Signer: signer})
	}
	s.Keys[0].Signs = time.Unix(0, 0).UTC() // always; the others never sign
	policy, err := Policy{}.withDefaults()
	if err != nil {
		return nil, err
	}
	only, err := newSnapshot(s, forever, forever, forever)
	if err != nil {
		return nil, err
	}
	r := &Keyring{policy: policy}
	r.snapshot.Store(only)
	return r, nil
}

// Policy returns the policy in force, defaults filled in. A keyring of
// [NewKeyring] has the zero Policy: it has no timetable.
func (r *Keyring) Policy() Policy {
	if r == nil || r.store == nil {
		return Policy{}
	}
	return r.policy
}

// Key returns the published key with this kid for this alg.
func (r *Keyring) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	s, err := r.current(ctx, (*snapshot).trusted)
	if err != nil {
		return nil, err
	}
	if key := s.set.Find(kid, alg); key != nil {
		return key, nil
	}
	// An older snapshot may lack a key that another replica has published. "Unknown"
	// needs one that may itself be published.
	if s, err = r.current(ctx, (*snapshot).publishable); err != nil {
		return nil, err
	}
	if key := s.set.Find(kid, alg); key != nil {
		return key, nil
	}
	return nil, ErrUnknownKey
}

// Sign makes a compact JWS (RFC 7515, section 7.1) of the payload with the key
// that signs now. typ is the header's typ, such as "at+jwt": letters, digits, and
// any of + - . / _. The error is [ErrUnavailable] when no key may sign.
func (r *Keyring) Sign(ctx context.Context, typ string, payload []byte) (string, error) {
	signer, err := r.signer(ctx)
	if err != nil {
		return "", err
	}
	return signer.Sign(typ, payload)
}

// Ready reports whether the keyring can sign and be published now, for a readiness
// endpoint. The error says what is wrong with the store or its keys while there is
// still time: Ready does not wait until signing stops.
func (r *Keyring) Ready(ctx context.Context) error {
	if _, err := r.current(ctx, (*snapshot).publishable); err != nil {
		return err
	}
	_, err := r.signer(ctx)
	return err
}

func (r *Keyring) signer(ctx context.Context) (*jose.Signer, error) {
	s, err := r.current(ctx, (*snapshot).trusted)
	if err != nil {
		return nil, err
	}
	if i := signingAt(s.times, r.agreed(&s.state)); i >= 0 {
		return s.Keys[i].Signer, nil
	}
	return nil, errNoneSigns(s)
}

func errNoneSigns(s *snapshot) error {
	return fmt.Errorf("%w: the next key signs from %v, when verifiers have it", ErrUnavailable, s.Keys[0].Signs)
}

// Close stops the keyring from following its store. From then on it answers
// [ErrUnavailable]. It waits for a poll of the store that is under way. A keyring
// of [NewKeyring] goes on working.
func (r *Keyring) Close() error {
	if r == nil || r.store == nil {
		return nil
	}
	r.closed.Store(true)
	r.polling.Do(func() {}) // from here on no poller can start
	r.end()
	r.done.Wait()
	return nil
}

// now is this replica's wall clock, which goes on while a machine sleeps.
func (r *Keyring) now() time.Time { return time.Now().Round(0).UTC().Add(r.skew) }

// agreed is the time on which the replicas that share a state agree: the later of
// this replica's clock and that of the writer. A replica whose clock is behind
// does not go back to a key that the others have left.
func (r *Keyring) agreed(s *state) time.Time { return later(s.Written, r.now()) }
