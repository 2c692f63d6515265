package jwks

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// kms keeps keys under names. It can fail, and hang.
type kms struct {
	mu    sync.Mutex
	keys  map[string]crypto.Signer
	made  int
	open  int
	err   error
	hangs chan struct{} // if set, every call waits for it
}

func (k *kms) wait() error {
	k.mu.Lock()
	hangs, err := k.hangs, k.err
	k.mu.Unlock()
	if hangs != nil {
		<-hangs // whatever the context says
	}
	return err
}

func (k *kms) set(err error, hangs chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.hangs = err, hangs
}

func (k *kms) policy() Policy {
	return Policy{NewSigner: k.newSigner, OpenSigner: k.openSigner, Poll: 10 * time.Minute}
}

func (k *kms) newSigner(_ context.Context, alg string) (crypto.Signer, string, error) {
	if err := k.wait(); err != nil {
		return nil, "", err
	}
	private, err := jose.Generate(alg)
	if err != nil {
		return nil, "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made++
	name := fmt.Sprint("keys/", k.made)
	k.keys[name] = private
	return kmsKey{k, private}, name, nil
}

func (k *kms) openSigner(_ context.Context, name string) (crypto.Signer, error) {
	if err := k.wait(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open++
	if k.keys[name] == nil {
		return nil, errors.New("no such key")
	}
	return kmsKey{k, k.keys[name]}, nil
}

type kmsKey struct {
	kms   *kms
	inner crypto.Signer
}

func (k kmsKey) Public() crypto.PublicKey { return k.inner.Public() }

func (k kmsKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := k.kms.wait(); err != nil {
		return nil, err
	}
	return k.inner.Sign(rand, digest, opts)
}

// Keys in a KMS rotate like others. The store holds references and public keys.
func TestKMSRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := &kms{keys: map[string]crypto.Signer{}}
		store := &shelf{}
		r := sure(Open(t.Context(), store, vault.policy()))
		defer r.Close()
		other := sure(Open(t.Context(), store, vault.policy()))
		defer other.Close()
		signers := map[string]bool{}
		for range 100 {
			kid := signedBy(t, r)
			signers[kid] = true
			key := sure(r.Key(t.Context(), kid, ""))
			time.Sleep(day)
			if again, err := r.Key(t.Context(), kid, ""); err == nil && again != key {
				t.Error("the pointer changed")
			}
			if a, b := signedBy(t, r), signedBy(t, other); a != b {
				t.Errorf("%s and %s sign", a, b)
			}
		}
		if len(signers) != 4 || vault.made != len(signers)+1 && vault.made != len(signers)+2 {
			t.Errorf("%d keys signed, %d were made", len(signers), vault.made)
		}
		if blob := store.get(); !bytes.Contains(blob, []byte(`"reference": "keys/`)) || bytes.Contains(blob, []byte(`"d":`)) {
			t.Errorf("stored is %s", blob)
		}
		if err := r.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A store of private keys goes over to a KMS by rotating.
func TestKMSAfterFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		before := sure(Open(t.Context(), store, Policy{}))
		kid := signedBy(t, before)
		before.Close()
		vault := &kms{keys: map[string]crypto.Signer{}}
		r := sure(Open(t.Context(), store, vault.policy()))
		defer r.Close()
		if got := signedBy(t, r); got != kid {
			t.Errorf("%s signs", got)
		}
		time.Sleep(100 * day)
		signedBy(t, r)
		if bytes.Contains(store.get(), []byte(`"d":`)) {
			t.Error("a private key is still stored")
		}
	})
}

// A KMS that is away, or hangs: requests get their answer within the deadline, the
// keys are published and verify, and a replica starts.
func TestKMSAway(t *testing.T) {
	for _, hanging := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			vault := &kms{keys: map[string]crypto.Signer{}}
			store := &shelf{}
			first := sure(Open(t.Context(), store, vault.policy()))
			defer first.Close()
			kid := signedBy(t, first)
			time.Sleep(time.Hour)
			gone, hangs := errors.New("the KMS is away"), make(chan struct{})
			if hanging {
				vault.set(nil, hangs)
			} else {
				vault.set(gone, nil)
			}
			var heard listener
			policy := vault.policy()
			policy.Observe = heard.observe
			began := time.Now()
			started := sure(Open(t.Context(), store, policy))
			defer started.Close()
			if took := time.Since(began); took > storeTimeout {
				t.Errorf("the start took %v", took)
			}
			if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.KeysUnavailable {
				t.Errorf("%+v", e)
			}
			for _, r := range []*Keyring{first, started} {
				began := time.Now()
				if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) {
					t.Errorf("Sign: %v", err)
				}
				if took := time.Since(began); took > signerTimeout {
					t.Errorf("Sign took %v", took)
				}
				if _, err := r.Key(t.Context(), kid, ""); err != nil || get(t, r).Code != 200 {
					t.Errorf("Key: %v", err)
				}
			}
			if err := started.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Ready: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := first.Sign(ctx, "at+jwt", nil); hanging && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a caller that leaves: %v", err)
			}
			close(hangs)
			vault.set(nil, nil)
			time.Sleep(10 * time.Minute)
			if a, b := signedBy(t, first), signedBy(t, started); a != kid || b != kid {
				t.Errorf("%s and %s sign", a, b)
			}
			if err := started.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A signer that hangs holds few goroutines, and soon fails at once.
func TestSignerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := &kms{hangs: make(chan struct{})}
		r := sure(NewKeyring(kmsKey{vault, testKeys()["ES256"].private}))
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if stuck := r.calls.stuck.Load(); stuck != maxSignerCalls {
			t.Errorf("%d calls hang", stuck)
		}
		began := time.Now()
		if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(vault.hangs)
		vault.set(nil, nil)
		synctest.Wait()
		signedBy(t, r)
		if stuck := r.calls.stuck.Load(); stuck != 0 {
			t.Errorf("%d calls hang", stuck)
		}
	})
}

type panicking struct{ crypto.Signer }

func (panicking) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("a bug") }

func TestSignerPanics(t *testing.T) {
	r := sure(NewKeyring(panicking{testKeys()["ES256"].private}))
	if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "a bug") {
		t.Error(err)
	}
}

// A reference that opens another key than the stored public one is not used.
func TestKMSWrongKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := &kms{keys: map[string]crypto.Signer{}}
		store := &shelf{}
		sure(Open(t.Context(), store, vault.policy())).Close()
		for name := range vault.keys {
			vault.keys[name] = testKeys()["ES256"].private
		}
		r := sure(Open(t.Context(), store, vault.policy()))
		defer r.Close()
		if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %v", err)
		}
		if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "another key") {
			t.Errorf("Ready: %v", err)
		}
		without := sure(Open(t.Context(), store, Policy{}))
		defer without.Close()
		if err := without.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "Policy.OpenSigner") {
			t.Errorf("without OpenSigner: %v", err)
		}
	})
}

func TestKMSPolicy(t *testing.T) {
	vault := &kms{}
	for _, p := range []Policy{{NewSigner: vault.newSigner}, {OpenSigner: vault.openSigner}} {
		if _, err := Open(t.Context(), &shelf{}, p); err == nil || !strings.Contains(err.Error(), "belong together") {
			t.Error(err)
		}
	}
	failing := &kms{err: errors.New("no permission")}
	if r, err := Open(t.Context(), &shelf{}, failing.policy()); r != nil || err == nil || !strings.Contains(err.Error(), "no permission") {
		t.Error(err)
	}
}

// A replica that loses the race for a new key has not made another one at each try.
func TestKMSMakesNoKeyInVain(t *testing.T) {
	vault := &kms{keys: map[string]crypto.Signer{}}
	store := &shelf{}
	var wg sync.WaitGroup
	replicas := make([]*Keyring, 8)
	for i := range replicas {
		wg.Go(func() { replicas[i] = sure(Open(t.Context(), store, vault.policy())) })
	}
	wg.Wait()
	for _, r := range replicas {
		signedBy(t, r)
		r.Close()
	}
	if vault.made > 2*len(replicas) {
		t.Errorf("%d keys were made", vault.made)
	}
}
