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

// Keyring holds the private keys of an issuer. It signs with the current key, makes
// and announces the next one, publishes the public keys as an [http.Handler], and is
// a [Source] for a verifier in the same process.
//
// Any number of replicas can share one [KeyStore]; there is no leader. A replica that
// could not read the store for so long that others may have rotated stops signing and
// publishing, and returns [ErrUnavailable].
//
// Make one with [Open] or [NewKeyring]. The methods of the zero Keyring and of nil
// return ErrUnavailable.
type Keyring struct {
	store    KeyStore // nil for NewKeyring
	policy   Policy
	clock    clock
	calls    *calls // of remote signers
	snapshot atomic.Pointer[snapshot]
	health   health

	polling sync.Once
	closed  atomic.Bool
	life    context.Context // ends with Close
	end     context.CancelFunc
	done    sync.WaitGroup

	reads reads
	maker maker // calls of Policy.NewSigner
	opens opens // calls of Policy.OpenSigner

	// busy is held while the store is read and written. Unlike with a mutex, a caller
	// whose context ends stops waiting.
	busy       *semaphore.Weighted
	lastSigned map[string]time.Time // when each kid last signed, by the monotonic clock
	signs      *string              // kid that signed after the last update, "" for none; for events
	started    bool                 // the changes of a start are written, or none were due
	held       bool                 // this replica must not plan
	compared   bool                 // the clock was compared with that of the store
	foreign    error                // set while the store holds the state of another keyring
	proved     time.Time            // when a write last succeeded

	now chan struct{} // tells the poller to poll at once
}

// Open opens the keyring in the store, and makes the first keys if the store is
// empty. Replicas that open one store at the same time get the same keys.
//
// A store that cannot be read is an error that says what to do. Its content is never
// replaced by new keys. A policy that cannot be kept is an error that names the
// field.
//
// Open writes the store once, to prove that it can. If the write fails and there are
// no keys yet, Open fails. If there are keys, the keyring opens and signs with them;
// keys do not rotate, and [Keyring.Ready], [Keyring.Status] and an event say so.
//
// A Keyring polls the store from its first use on. Close it at the end.
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
		err = errors.New("jwks: the key store is empty, and this replica may not make the first keys")
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

// NewKeyring returns a keyring of keys that are kept elsewhere: in a KMS, in an HSM,
// or in a file of yours. The first key signs, and all are published. To rotate by
// hand, list the previous key and the next key behind it. ECDSA keys sign with the
// algorithm of their curve, Ed25519 keys with EdDSA, RSA keys with RS256. Such a
// keyring never rotates by itself and needs no Close. For keys in a KMS that rotate,
// use [Open] with Policy.NewSigner.
//
// While a signer fails, or takes longer than 5 s, Sign returns [ErrUnavailable]. Not
// checked: that a signer works.
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
			return nil, fmt.Errorf("jwks: signer %d has the same key as an earlier one: remove it", i+1)
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

// Policy returns the policy in force, with its defaults. A keyring of [NewKeyring]
// has the zero Policy: it has no timetable.
func (r *Keyring) Policy() Policy {
	if r == nil || r.store == nil {
		return Policy{}
	}
	return r.policy
}

// Key returns the published key with this kid for this alg. See [Source] for the
// errors.
func (r *Keyring) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	s, err := r.current(ctx, trusted)
	if err != nil {
		return nil, err
	}
	if key := s.set.Find(kid, alg); key != nil {
		return key, nil
	}
	// An older snapshot may lack a key that another replica has published. Only a
	// snapshot that may itself be published shows that a key is unknown.
	if s, err = r.current(ctx, publishable); err != nil {
		return nil, err
	}
	if key := s.set.Find(kid, alg); key != nil {
		return key, nil
	}
	return nil, ErrUnknownKey
}

// Sign returns a compact JWS (RFC 7515, section 7.1) of the payload, made with the
// current signing key. typ is the header's typ, such as "at+jwt": letters, digits,
// and any of + - . / _. The error is [ErrUnavailable] when no key may sign, or when
// the signer of a key that is kept elsewhere fails or takes longer than 5 s.
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
		return fmt.Errorf("%w: every key was dropped, and new keys are not made yet", ErrUnavailable)
	}
	return fmt.Errorf("%w: no key signs before %v, when verifiers have the next one", ErrUnavailable, s.Keys[0].Signs)
}

// Close stops the keyring. From then on its methods return [ErrUnavailable]. Close
// waits for a poll of the store that is under way. It has no effect on a keyring of
// [NewKeyring].
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
