package jwks

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Keyring is an issuer's private keys. It signs with the one whose turn it is,
// makes and announces the next, publishes the public halves as an
// [http.Handler], and is a [Source] for a verifier in the same process.
//
// Any number of replicas can share one [KeyStore]; none leads. A replica that
// has not been able to read the store for so long that others may have moved on
// stops signing and publishing, with [ErrUnavailable], rather than guess.
type Keyring struct {
	store  KeyStore // nil for Static
	policy Policy
	skew   time.Duration // of this replica's clock, for tests
	view   atomic.Pointer[view]

	looking chan struct{} // full while somebody looks at the store; a request with a good view never waits for it
	failure error         // of the last look at the store
	failed  time.Time
	stop    context.CancelFunc
	stopped context.Context
	polling sync.Once
	done    sync.WaitGroup
}

// view is a state, read at a moment, in the forms that requests want.
type view struct {
	state
	times     []times
	raw       []byte    // the blob it was read from
	loaded    time.Time // before the read
	trusted   time.Time // until when it may be acted on
	published map[string]*jose.Key
	document  []byte
	etag      string
}

// Open gives the keyring kept in the store, and makes the first keys when the
// store is empty. Replicas that open one store together get one key set.
//
// Whatever is in the store and cannot be read is an error that says what to do;
// it is never replaced by new keys. A policy that cannot be kept is an error
// that names the field.
func Open(ctx context.Context, store KeyStore, policy Policy) (*Keyring, error) {
	if store == nil {
		return nil, errors.New(`jwks: Open needs a KeyStore: write jwks.File("keys.json")`)
	}
	policy, err := policy.withDefaults()
	if err != nil {
		return nil, err
	}
	return open(ctx, newKeyring(store, policy))
}

func open(ctx context.Context, r *Keyring) (*Keyring, error) {
	if err := r.update(ctx, r.adopt); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// Static gives a keyring of keys that live elsewhere: in a KMS, an HSM, a file
// of the caller's. The first signs; all are published, so the key before it can
// be kept, and the one after it announced, by listing them behind it. ECDSA
// keys sign with the algorithm of their curve, Ed25519 with EdDSA, RSA with
// RS256. It never rotates and needs no Close.
//
// Not checked: that a signer works. A signer that fails makes Sign fail.
func Static(signers ...crypto.Signer) (*Keyring, error) {
	if len(signers) == 0 {
		return nil, errors.New("jwks: Static needs at least one crypto.Signer")
	}
	s := &state{}
	for i, private := range signers {
		key, err := jose.NewSigner(private, "")
		if err != nil {
			return nil, fmt.Errorf("jwks: signer %d: %w", i+1, err)
		}
		if slices.ContainsFunc(s.Keys, func(k stateKey) bool { return k.id() == key.Key().ID() }) {
			return nil, fmt.Errorf("jwks: signer %d has the key of one before it: leave it out", i+1) // verifiers refuse a kid that comes twice
		}
		s.Keys = append(s.Keys, stateKey{Signer: key})
	}
	policy, err := Policy{}.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newKeyring(nil, policy)
	return r, r.show(s, nil, time.Time{})
}

func newKeyring(store KeyStore, policy Policy) *Keyring {
	r := &Keyring{store: store, policy: policy, looking: make(chan struct{}, 1)}
	r.stopped, r.stop = context.WithCancel(context.Background())
	return r
}

// Policy is the policy in force, defaults filled in. Static keyrings have the
// zero Policy: nothing of theirs ends by a timetable.
func (r *Keyring) Policy() Policy {
	if r.store == nil {
		return Policy{}
	}
	return r.policy
}

// Key is the published key of that id.
func (r *Keyring) Key(ctx context.Context, kid string) (*jose.Key, error) {
	v, err := r.current(ctx, trusted)
	if err != nil {
		return nil, err
	}
	if key := v.published[kid]; key != nil {
		return key, nil
	}
	// "Unknown" is for a view that may be published; an older one may have missed
	// a key.
	if v, err = r.current(ctx, r.publishable); err != nil {
		return nil, err
	}
	if key := v.published[kid]; key != nil {
		return key, nil
	}
	return nil, ErrUnknownKey
}

// Ready reports whether the keyring can sign and be published now, for a
// readiness endpoint. The error says what is wrong with the store, or the keys
// in it, while there is still time: it does not wait until signing stops.
func (r *Keyring) Ready(ctx context.Context) error {
	if _, err := r.current(ctx, r.publishable); err != nil {
		return err
	}
	_, err := r.signing(ctx)
	return err
}

func (r *Keyring) signing(ctx context.Context) (*jose.Signer, error) {
	v, err := r.current(ctx, trusted)
	if err != nil {
		return nil, err
	}
	if r.store == nil {
		return v.Keys[0].Signer, nil
	}
	if i := signingAt(v.times, r.shared(&v.state)); i >= 0 {
		return v.Keys[i].Signer, nil
	}
	return nil, fmt.Errorf("%w: the next key signs from %v, when verifiers have it", ErrUnavailable, v.Keys[0].Signs)
}

// trusted is until when a view may be acted on. A key that the replica has
// missed was announced after the view was loaded and signs Announce later at the
// earliest, so until then the view names the right key to sign with. A key that
// was dropped as compromised would be believed here so long: hence the hour.
func trusted(v *view) time.Time { return v.trusted }

func (p Policy) trusts(loaded time.Time) (until time.Time) {
	return loaded.Add(min(p.Announce-p.Skew, max(time.Hour, p.MaxAge+p.Poll)))
}

// publishable is until when verifiers may keep a view, max-age included. It is
// what dropAt counts on when it lets the next key sign.
func (r *Keyring) publishable(v *view) time.Time {
	return v.loaded.Add(r.policy.MaxAge + r.policy.Poll)
}

// current is the view to act on, at most Poll old while the store answers.
// A caller waits for the store only when the view is past its limit.
func (r *Keyring) current(ctx context.Context, limit func(*view) time.Time) (*view, error) {
	v := r.view.Load()
	if r.store == nil {
		return v, nil
	}
	if r.stopped.Err() != nil {
		return nil, fmt.Errorf("%w: the keyring is closed", ErrUnavailable)
	}
	r.polling.Do(func() {
		r.done.Add(1)
		go r.poll()
		// It may have been opened long before its first use.
		limit = func(v *view) time.Time { return v.loaded.Add(r.policy.Poll) }
	})
	if r.now().Before(limit(v)) {
		return v, nil
	}
	if err := r.catchUp(ctx, limit); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return r.view.Load(), nil
}

// catchUp is an update for a request that finds the view too old. Of many such
// requests one looks at the store; while the store fails, one a second.
func (r *Keyring) catchUp(ctx context.Context, limit func(*view) time.Time) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	if r.now().Before(limit(r.view.Load())) {
		return nil
	}
	if r.failure != nil && time.Since(r.failed) < time.Second {
		return r.failure
	}
	return r.updateLocked(ctx, r.plan)
}

// poll follows the store. Twice in each Poll, so that one slow or failed look
// does not make the view older than the policy says.
func (r *Keyring) poll() {
	defer r.done.Done()
	ticker := time.NewTicker(r.policy.Poll / 2)
	defer ticker.Stop()
	for {
		select {
		case <-r.stopped.Done():
			return
		case <-ticker.C:
			// A failure shows when the view gets too old to act on.
			_ = r.update(r.stopped, r.plan)
		}
	}
}

// Close stops the keyring from following its store; it soon answers
// ErrUnavailable. It waits for a look at the store that is under way.
func (r *Keyring) Close() error {
	r.polling.Do(func() {}) // from here on no poll can start
	r.stop()
	r.done.Wait()
	return nil
}

// maxRaces bounds how often an update lost to other replicas is tried again.
// Each loss means that another one has won.
const maxRaces = 100

// update loads the state, lets change make the next one of it, and saves that.
// change returns nil for "as it is". It is called anew when another replica was
// faster.
func (r *Keyring) update(ctx context.Context, change func(*state) (*state, error)) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	return r.updateLocked(ctx, change)
}

func (r *Keyring) lock(ctx context.Context) error {
	select {
	case r.looking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Keyring) unlock() { <-r.looking }

func (r *Keyring) updateLocked(ctx context.Context, change func(*state) (*state, error)) error {
	if r.stopped.Err() != nil {
		return errors.New("jwks: the keyring is closed")
	}
	look, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	r.failure, r.failed = errTooBusy, time.Now()
	done := false
	for range maxRaces {
		outcome, err := r.tryUpdate(look, change)
		if err != nil {
			r.failure, r.failed = err, time.Now()
			if ctx.Err() != nil {
				r.failure = nil // the caller left: that says nothing about the store
			}
			if done {
				return nil // what was asked for is written; the rest is poll's to try again
			}
			return err
		}
		switch outcome {
		case settled:
			r.failure = nil
			return nil
		case saved:
			change, done = r.plan, true // what was written may make something else due
		case raced:
		}
	}
	return r.failure
}

var errTooBusy = errors.New("jwks: too many others write to the key store")

type outcome int

const (
	settled outcome = iota // nothing was left to write
	saved                  // the change was written
	raced                  // another replica wrote first
)

func (r *Keyring) tryUpdate(ctx context.Context, change func(*state) (*state, error)) (outcome, error) {
	loaded := r.now()
	raw, err := r.store.Load(ctx)
	if err != nil {
		return raced, err
	}
	s, err := r.read(raw)
	if err != nil {
		return raced, err
	}
	next, err := change(s)
	if err != nil {
		return raced, err
	}
	if next == nil {
		return settled, r.show(s, raw, loaded)
	}
	blob, err := next.blob()
	if err != nil {
		return raced, err
	}
	if done, err := r.store.Save(ctx, raw, blob); err != nil || !done {
		return raced, err
	}
	return saved, r.show(next, blob, loaded)
}

func (r *Keyring) read(raw []byte) (*state, error) {
	old := r.view.Load()
	switch {
	case old == nil && raw == nil:
		return &state{}, nil
	case raw == nil:
		return nil, errors.New("jwks: the stored keys are gone: restore them from a backup, or restart to begin with new keys")
	case old != nil && bytes.Equal(raw, old.raw):
		return &old.state, nil
	}
	var previous *state
	if old != nil {
		previous = &old.state
	}
	s, err := readState(raw, previous)
	if err != nil {
		return nil, err
	}
	// Replicas take the later of the clocks for the time, so one that is far ahead
	// would stop the timetable of all the others.
	if now := r.now(); s.Written.After(now.Add(r.policy.Skew)) {
		return nil, fmt.Errorf("jwks: the stored keys were written at %v, and here it is %v, which differs by more than Policy.Skew = %v: set the clock that is wrong; if it was the writer's, restore the keys from a backup", s.Written, now, r.policy.Skew)
	}
	return s, nil
}

// storeTimeout bounds one look at the store, hung stores included.
const storeTimeout = 10 * time.Second

// show makes a state the one that requests see.
func (r *Keyring) show(s *state, raw []byte, loaded time.Time) error {
	v := &view{state: *s, times: s.times(), raw: raw, loaded: loaded, trusted: r.policy.trusts(loaded), published: make(map[string]*jose.Key, len(s.Keys))}
	keys := make([]*jose.Key, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = k.Key()
		v.published[k.id()] = k.Key()
	}
	if err := v.publish(keys); err != nil {
		return err
	}
	r.view.Store(v)
	return nil
}

// now is this replica's clock. It is the wall clock, which goes on while a
// machine sleeps.
func (r *Keyring) now() time.Time { return r.here(time.Now()) }

func (r *Keyring) here(now time.Time) time.Time { return now.Round(0).UTC().Add(r.skew) }

// shared is the time as the replicas that share the state see it.
func (r *Keyring) shared(s *state) time.Time {
	if now := r.now(); now.After(s.Written) {
		return now
	}
	return s.Written
}
