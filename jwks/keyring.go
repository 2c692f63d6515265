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
	clock    clock
	calls    *calls // to signers that are kept elsewhere
	snapshot atomic.Pointer[snapshot]
	health   health

	polling sync.Once
	closed  atomic.Bool
	life    context.Context // ends with Close
	end     context.CancelFunc
	done    sync.WaitGroup

	reads reads
	maker maker // of keys that are kept elsewhere
	opens opens // of the same

	// busy is held while the store is read and written. Unlike a mutex, a caller
	// whose context ends can stop waiting for it.
	busy       *semaphore.Weighted
	lastSigned map[string]time.Time // when each kid was last seen to sign, on the monotonic clock
	signs      *string              // kid that signed after the last update, for events; "" when none did
	started    bool                 // what a start changes in the timetable is written, or not due
	held       bool                 // nothing may be planned
	compared   bool                 // the clock was compared with the store's
	foreign    error                // the store holds another keyring's state
	proved     time.Time            // when the store was last written

	now chan struct{} // tells the poller to poll at once
}

// Open opens the keyring in the store, and makes the first keys when the store is
// empty. Replicas that open one store together get one key set.
//
// A store that cannot be read is an error that says what to do. Its content is
// never replaced by new keys. A policy that cannot be kept is an error that names
// the field.
//
// Open writes the store once, to prove that it can. If it cannot, and there are no
// keys yet, that is an error. If there are, the keyring opens and signs with them,
// and [Keyring.Ready], [Keyring.Status] and an event say so: keys cannot rotate.
func Open(ctx context.Context, store KeyStore, policy Policy) (*Keyring, error) {
	if store == nil {
		return nil, errors.New(`jwks: Open needs a KeyStore: write jwks.File("keys.json")`)
	}
	policy, err := policy.withDefaults()
	if err != nil {
		return nil, err
	}
	return newOpened(store, policy).start(ctx)
}

func newOpened(store KeyStore, policy Policy) *Keyring {
	r := &Keyring{store: store, policy: policy, busy: semaphore.NewWeighted(1), calls: newCalls(maxSignerCalls), now: make(chan struct{}, 1)}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// start reads the store for the first time.
func (r *Keyring) start(ctx context.Context) (*Keyring, error) {
	err := r.update(ctx, r.plan)
	for errors.Is(err, errMaking) {
		if err = r.maker.wait(ctx); err == nil {
			err = r.update(ctx, r.plan)
		}
	}
	var unwritten *notWritten
	if err == nil && r.snapshot.Load() == nil {
		err = errors.New("jwks: no keys are stored yet, and this replica may make none")
		for _, p := range r.health.list() {
			err = fmt.Errorf("%w: %w", err, p.Err)
		}
	}
	if err == nil || errors.As(err, &unwritten) && r.snapshot.Load() != nil && ctx.Err() == nil {
		return r, nil
	}
	_ = r.Close()
	return nil, err
}

// NewKeyring makes a keyring of keys that are kept elsewhere: in a KMS, in an HSM,
// in a file of the caller's. The first one signs. All are published, so list the
// key before it and the key after it behind it. ECDSA keys sign with the algorithm
// of their curve, Ed25519 keys with EdDSA, RSA keys with RS256. Such a keyring
// never rotates and needs no Close. For keys in a KMS that rotate, use [Open] with
// Policy.NewSigner.
//
// A signer that fails, or that does not answer within 5 s, makes Sign answer
// [ErrUnavailable]. Not checked: that a signer works.
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
		s.Keys = append(s.Keys, stateKey{Signer: signer, key: signer.Key(), remote: isRemote(private)})
	}
	s.Keys[0].Signs = time.Unix(0, 0).UTC() // always; the others never sign
	policy, err := Policy{}.withDefaults()
	if err != nil {
		return nil, err
	}
	only, err := newSnapshot(s)
	if err != nil {
		return nil, err
	}
	r := &Keyring{policy: policy, calls: newCalls(maxSignerCalls)}
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
	s, err := r.current(ctx, trusted)
	if err != nil {
		return nil, err
	}
	if key := s.set.Find(kid, alg); key != nil {
		return key, nil
	}
	// An older snapshot may lack a key that another replica has published. "Unknown"
	// needs one that may itself be published.
	if s, err = r.current(ctx, publishable); err != nil {
		return nil, err
	}
	if key := s.set.Find(kid, alg); key != nil {
		return key, nil
	}
	return nil, ErrUnknownKey
}

// Sign makes a compact JWS (RFC 7515, section 7.1) of the payload with the key
// that signs now. typ is the header's typ, such as "at+jwt": letters, digits, and
// any of + - . / _. The error is [ErrUnavailable] when no key may sign, and when a
// key that is kept elsewhere fails or does not answer within 5 s.
func (r *Keyring) Sign(ctx context.Context, typ string, payload []byte) (string, error) {
	key, err := r.signer(ctx)
	if err != nil {
		return "", err
	}
	return r.sign(ctx, key, typ, payload)
}

func (r *Keyring) signer(ctx context.Context) (*stateKey, error) {
	s, err := r.current(ctx, trusted)
	if err != nil {
		return nil, err
	}
	if i := signingAt(s.times, r.agreed(&s.state)); i >= 0 {
		return &s.Keys[i], nil
	}
	return nil, errNoneSigns(s)
}

func errNoneSigns(s *snapshot) error {
	if len(s.Keys) == 0 {
		return fmt.Errorf("%w: every key was dropped, and new ones are not made yet", ErrUnavailable)
	}
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
	r.maker.close()
	r.done.Wait()
	return nil
}
