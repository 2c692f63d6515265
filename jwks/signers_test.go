package jwks

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Keys in a KMS rotate like others. The store holds references and public keys.
func TestKMSRotates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vault := newKMS()
		store := &shelf{}
		policy := vault.policy()
		policy.Poll = time.Hour
		r := opened(t, store, policy)
		other := opened(t, store, policy)
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

// A store of private keys moves to a KMS as keys rotate.
func TestKMSAfterFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		before := sure(Open(t.Context(), store, Policy{}))
		kid := signedBy(t, before)
		before.Close()
		vault := newKMS()
		policy := vault.policy()
		policy.Poll = time.Hour
		r := opened(t, store, policy)
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

// A KMS that is away or hangs: Sign answers within its deadline, the keys are published
// and verify, and a replica starts.
func TestKMSAway(t *testing.T) {
	for _, hanging := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			vault := newKMS()
			store := &shelf{}
			first := opened(t, store, vault.policy())
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
			started := opened(t, store, policy)
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
				t.Errorf("a caller that gives up: %v", err)
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

// A KMS that fails or hangs while a keyring runs: one event reports it and Ready returns
// ErrUnavailable. Both end without a request.
func TestKMSFailsWhileRunning(t *testing.T) {
	for _, hanging := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var heard listener
			vault := newKMS()
			policy := vault.policy()
			policy.Observe, policy.Poll = heard.observe, 0
			r := opened(t, &shelf{}, policy)
			kid := signedBy(t, r)
			gone, hangs := errors.New("the KMS is away"), make(chan struct{})
			if hanging {
				gone = context.DeadlineExceeded
				vault.set(nil, hangs)
			} else {
				vault.set(gone, nil)
			}
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // less than the timeout of a signer
				if _, err := r.Sign(ctx, "at+jwt", nil); err == nil {
					t.Error("Sign succeeded")
				}
				cancel()
			}
			if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.KeysUnavailable || !errors.Is(e.Err, gone) || !strings.Contains(e.Err.Error(), kid) {
				t.Errorf("%+v", e)
			}
			if err := r.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Ready: %v", err)
			}
			if p := r.Status().Problems; len(p) != 1 || p[0].Reason != event.KeysUnavailable {
				t.Errorf("%+v", p)
			}
			time.Sleep(10 * time.Minute)
			close(hangs)
			vault.set(nil, nil)
			time.Sleep(10 * time.Second)
			if err := r.Ready(t.Context()); errors.Is(err, ErrUnavailable) {
				t.Errorf("Ready: %v", err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != "" {
				t.Errorf("%+v", e)
			}
			if err := r.Ready(t.Context()); err != nil || len(r.Status().Problems) != 0 {
				t.Errorf("Ready: %v", err)
			}
		})
	}
}

// One signature in a hundred fails: that is one event, and Ready does not take the
// replica out of service.
func TestKMSFailsNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		vault := newKMS()
		policy := vault.policy()
		policy.Observe = heard.observe
		r := opened(t, &shelf{}, policy)
		for i := range 1000 {
			vault.set(nil, nil)
			if i%100 == 0 {
				vault.set(errors.New("throttled"), nil)
			}
			_, _ = r.Sign(t.Context(), "at+jwt", []byte("{}"))
			time.Sleep(10 * time.Millisecond)
		}
		if e := heard.one(t); e.Reason != event.KeysUnavailable {
			t.Errorf("%+v", e)
		}
		if err := r.Ready(t.Context()); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("Ready: %v", err)
		}
	})
}

// The keys of NewKeyring have no poller.
func TestNewKeyringSignerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := &kms{err: errors.New("away")}
		r := sure(NewKeyring(kmsKey{vault, testKeys()["ES256"].private}))
		_, _ = r.Sign(t.Context(), "at+jwt", nil)
		if err := r.Ready(t.Context()); !errors.Is(err, ErrUnavailable) || len(r.Status().Problems) != 1 {
			t.Errorf("Ready: %v, %+v", err, r.Status())
		}
		vault.set(nil, nil)
		time.Sleep(time.Minute)
		if err := r.Ready(t.Context()); err != nil || len(r.Status().Problems) != 0 {
			t.Errorf("Ready: %v, %+v", err, r.Status())
		}
	})
}

// A KMS that makes keys slowly, past its deadline, makes no key that is not used and
// delays no request. One that hangs or fails is not called at each poll.
func TestKMSSlowToMakeKeys(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		takes time.Duration
		fails bool
		most  int
		told  bool
	}{
		"slow":                  {6 * time.Second, false, 4, false},
		"slower than an update": {25 * time.Second, false, 4, false},
		"late":                  {50 * time.Second, false, 4, true},
		"makes one and fails":   {time.Second, true, 25*24 + 10, true}, // one an hour
	} {
		synctest.Test(t, func(t *testing.T) {
			var heard listener
			vault := newKMS()
			store := &shelf{}
			policy := vault.policy()
			sure(Open(t.Context(), store, policy)).Close()
			policy.Observe, policy.RotateEvery = heard.observe, 10*day
			var calls atomic.Int64
			policy.NewSigner = func(ctx context.Context, alg string) (crypto.Signer, string, error) {
				calls.Add(1)
				time.Sleep(tt.takes) // it ignores the context
				signer, reference, err := vault.newSigner(ctx, alg)
				if tt.fails {
					err = errors.New("no answer")
				}
				return signer, reference, err
			}
			r := opened(t, store, policy)
			first := signedBy(t, r)
			rotations, signs := 0, first
			for begun := time.Now(); time.Since(begun) < 34*day; time.Sleep(3 * time.Hour) {
				began := time.Now()
				kid := signedBy(t, r)
				if get(t, r).Code != 200 || time.Since(began) > 0 {
					t.Fatalf("%s: after %v", name, time.Since(began))
				}
				if kid != signs {
					rotations, signs = rotations+1, kid
				}
			}
			if n := int(calls.Load()); n > tt.most {
				t.Errorf("%s: %d keys were made", name, n)
			}
			if rotations < 3 && !tt.fails {
				t.Errorf("%s: %d rotations", name, rotations)
			}
			told := false
			for _, e := range heard.take() {
				told = told || e.Reason == event.KeysNotWritten
			}
			if told != tt.told {
				t.Errorf("%s: keys_not_written was reported: %t", name, told)
			}
		})
	}
}

// Open waits for the first keys, and Rotate for the key after it.
func TestKMSSlowToMakeTheFirstKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newKMS()
		policy := vault.policy()
		policy.NewSigner = func(ctx context.Context, alg string) (crypto.Signer, string, error) {
			time.Sleep(25 * time.Second)
			return vault.newSigner(ctx, alg)
		}
		r := opened(t, &shelf{}, policy)
		for range 3 {
			stolen := signedBy(t, r)
			if err := r.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Key(t.Context(), stolen, ""); !errors.Is(err, ErrUnknownKey) {
				t.Errorf("the dropped key: %v", err)
			}
			time.Sleep(day)
		}
		hangs := make(chan struct{})
		vault.set(nil, hangs)
		time.Sleep(40 * day)
		if _, err := Open(t.Context(), &shelf{}, policy); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Open: %v", err)
		}
		close(hangs)
	})
}

// A signer that hangs holds a bounded number of goroutines. Further calls fail at once.
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
		if n := vault.hanging(); n != maxSignerCalls {
			t.Errorf("%d calls hang", n)
		}
		began := time.Now()
		if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(vault.hangs)
		vault.set(nil, nil)
		synctest.Wait()
		signedBy(t, r)
		if n := vault.hanging(); n != 0 {
			t.Errorf("%d calls hang", n)
		}
	})
}

func TestSignerPanics(t *testing.T) {
	r := sure(NewKeyring(panicking{testKeys()["ES256"].private}))
	if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "a bug") {
		t.Error(err)
	}
}

// A reference that opens another key than the stored public one is not used.
func TestKMSWrongKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newKMS()
		store := &shelf{}
		sure(Open(t.Context(), store, vault.policy())).Close()
		for name := range vault.keys {
			vault.keys[name] = testKeys()["ES256"].private
		}
		r := opened(t, store, vault.policy())
		if _, err := r.Sign(t.Context(), "at+jwt", []byte("{}")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %v", err)
		}
		if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "another key") {
			t.Errorf("Ready: %v", err)
		}
		without := opened(t, store, Policy{})
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

// A replica that loses the race for a new key does not make another one at each try.
func TestKMSMakesFewKeys(t *testing.T) {
	vault := newKMS()
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
