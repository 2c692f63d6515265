package jwks

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// A change of algorithm is announced like any next key, and the old keys are
// retained.
func TestAlgorithmChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		before := sure(Open(t.Context(), store, Policy{Poll: 10 * time.Minute}))
		old := signedBy(t, before)
		time.Sleep(10 * 24 * time.Hour)
		before.Close()

		r := opened(t, store, Policy{Algorithm: "EdDSA", Poll: 10 * time.Minute})
		changed := time.Now()
		var next string
		for time.Since(changed) < 24*time.Hour-time.Minute {
			if kid := signedBy(t, r); kid != old {
				t.Fatalf("%s signs %v after the change", kid, time.Since(changed))
			}
			for _, kid := range publishedBy(t, r) {
				if sure(r.Key(t.Context(), kid, "")).Algorithm() == "EdDSA" && next == "" {
					next = kid
					if time.Since(changed) > time.Minute {
						t.Errorf("announced after %v", time.Since(changed))
					}
				}
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(2 * time.Hour)
		if kid := signedBy(t, r); kid != next || next == "" {
			t.Errorf("%s signs, %s was announced", kid, next)
		}
		if _, err := r.Key(t.Context(), old, ""); err != nil {
			t.Errorf("the old key: %v", err)
		}
		time.Sleep(25 * time.Hour)
		if _, err := r.Key(t.Context(), old, ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the old key after Retain: %v", err)
		}
		for _, kid := range publishedBy(t, r) {
			if alg := sure(r.Key(t.Context(), kid, "")).Algorithm(); alg != "EdDSA" {
				t.Errorf("a key of %s is left", alg)
			}
		}
	})
}

func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := opened(t, store, Policy{Poll: 10 * time.Minute})
		other := opened(t, store, Policy{Poll: 10 * time.Minute})
		time.Sleep(time.Hour)
		dropped, next := signedBy(t, r), publishedBy(t, r)[1]
		signedBy(t, other)
		token := sure(r.Sign(t.Context(), "at+jwt", []byte("{}")))

		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid := signedBy(t, r); kid != next {
			t.Errorf("%s signs", kid)
		}
		parsed := sure(jose.Parse(token, 0))
		if _, err := r.Key(t.Context(), parsed.KeyID(), ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the dropped key: %v", err)
		}
		if kids := publishedBy(t, r); slices.Contains(kids, dropped) || kids[0] != next || len(kids) != 2 {
			t.Errorf("%q are published, %s was dropped", kids, dropped)
		}
		if sure(readState(store.get(), nil)).index(dropped) >= 0 {
			t.Error("the dropped key is still stored")
		}
		time.Sleep(r.Policy().Poll) // after which other replicas have read it
		if _, err := other.Key(t.Context(), dropped, ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("another replica: %v", err)
		}
		if kid := signedBy(t, other); kid != next {
			t.Errorf("another replica signs with %s", kid)
		}

		// Rotate again at once: verifiers may not have the new next key.
		fresh := publishedBy(t, r)[1]
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Sign: %v", err)
		}
		if kids := publishedBy(t, r); slices.Contains(kids, next) || kids[0] != fresh {
			t.Errorf("%q are published, %s was dropped", kids, next)
		}
		if err := r.Rotate(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a third Rotate: %v", err)
		}
		time.Sleep(r.Policy().visible() + time.Second)
		if kid := signedBy(t, r); kid != fresh {
			t.Errorf("%s signs", kid)
		}

		// Soon after an ordinary change the retained key signs instead.
		time.Sleep(30*24*time.Hour - 10*time.Minute)
		for signedBy(t, r) == fresh {
			time.Sleep(time.Minute)
		}
		compromised := signedBy(t, r)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid := signedBy(t, r); kid == compromised || kid == fresh {
			t.Errorf("%s signs, though the next one was announced a day ago", kid)
		}
		second := signedBy(t, r)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid := signedBy(t, r); kid != fresh || slices.Contains(publishedBy(t, r), second) {
			t.Errorf("%s signs before the new key may", kid)
		}
	})
}

// A failed Rotate changes nothing, and says so.
func TestRotateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := opened(t, store, Policy{})
		kid, blob := signedBy(t, r), store.get()
		down := errors.New("no connection")
		store.fail(down)
		if err := r.Rotate(t.Context()); !errors.Is(err, down) {
			t.Errorf("%v", err)
		}
		store.fail(nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Rotate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if got := signedBy(t, r); got != kid || string(store.get()) != string(blob) {
			t.Errorf("%s signs", got)
		}
		r.Close()
		if err := r.Rotate(t.Context()); err == nil {
			t.Error("a closed keyring rotated")
		}
	})
}

// An operator who calls Rotate on all replicas at once drops one key. All of them sign
// with the next at once.
func TestRotateTogether(t *testing.T) {
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			store := &shelf{}
			var replicas [4]*Keyring
			for i := range replicas {
				replicas[i] = sure(Open(t.Context(), store, Policy{}))
				defer replicas[i].Close()
				publishedBy(t, replicas[i])
			}
			time.Sleep(time.Hour + 7*time.Second) // between two polls of the store
			before := publishedBy(t, replicas[0])
			var dropped atomic.Int32
			var wg sync.WaitGroup
			for i, r := range replicas {
				wg.Go(func() {
					if round%2 == 1 {
						time.Sleep(time.Duration(i) * 20 * time.Millisecond)
					}
					if err := r.Rotate(t.Context()); err == nil {
						dropped.Add(1)
					} else if !strings.Contains(err.Error(), "already") {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if dropped.Load() != 1 {
				t.Errorf("%d replicas dropped a key", dropped.Load())
			}
			for i, r := range replicas {
				if kid := signedBy(t, r); kid != before[1] {
					t.Errorf("replica %d signs with %s, not with the next key", i, kid)
				}
				if kids := publishedBy(t, r); len(kids) != 2 || slices.Contains(kids, before[0]) {
					t.Errorf("replica %d publishes %q", i, kids)
				}
			}
		})
	}
}

// Another replica calls Rotate right after the write of this one. Only one key is dropped.
func TestRotateWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		other := opened(t, store, Policy{})
		within := &interrupted{shelf: store}
		r := opened(t, within, Policy{})
		time.Sleep(time.Hour)
		within.saved = func() {
			if err := other.Rotate(t.Context()); err == nil {
				t.Error("the other replica dropped a second key")
			}
		}
		if err := r.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
		if a, b := signedBy(t, r), signedBy(t, other); a != b {
			t.Errorf("%s and %s sign", a, b)
		}
	})
}

// The read after the write fails: the key is dropped. An error would make the operator
// drop the next key too.
func TestRotateThenStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &interrupted{shelf: &shelf{}}
		r := opened(t, store, Policy{})
		before := signedBy(t, r)
		ctx, cancel := context.WithCancel(t.Context())
		store.saved = cancel
		if err := r.Rotate(ctx); err != nil {
			t.Errorf("%v", err)
		}
		if after := signedBy(t, r); after == before {
			t.Error("the key was not dropped")
		}
	})
}

// A standby that was opened long ago reads the store before it signs.
func TestFirstUsePolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		standby := opened(t, store, Policy{})
		r := opened(t, store, Policy{})
		time.Sleep(50 * time.Minute)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a, b := signedBy(t, r), signedBy(t, standby); a != b {
			t.Errorf("%s signs here, and %s at the standby", a, b)
		}
	})
}

// Two deployments that differ in the algorithm are restarted in turn.
func TestAlgorithmFlapping(t *testing.T) {
	store := &shelf{}
	for n := range maxKeys {
		r, err := Open(t.Context(), store, Policy{Algorithm: []string{"Ed25519", "EdDSA"}[n%2]})
		if err != nil {
			if n < 16 || !strings.Contains(err.Error(), "Policy.Algorithm") {
				t.Fatalf("after %d restarts: %v", n, err)
			}
			return
		}
		r.Close()
	}
	t.Error("the key set grows without a bound")
}

// A shorter RotateEvery counts from the next start.
func TestShorterRotateEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		sure(Open(t.Context(), store, Policy{RotateEvery: 365 * 24 * time.Hour})).Close()
		r := opened(t, store, Policy{RotateEvery: 7 * 24 * time.Hour})
		before := signedBy(t, r)
		time.Sleep(7*24*time.Hour - time.Minute)
		if kid := signedBy(t, r); kid != before {
			t.Error("the key rotated too early")
		}
		time.Sleep(2 * time.Minute)
		if kid := signedBy(t, r); kid == before {
			t.Error("the key did not rotate")
		}
	})
}

// A Rotate in the first minute: each published set had the second key, so it may sign
// at once.
func TestRotateRightAfterOpen(t *testing.T) {
	r, err := Open(t.Context(), &shelf{}, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before, err := r.Sign(t.Context(), "at+jwt", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := r.Sign(t.Context(), "at+jwt", []byte("{}"))
	if err != nil {
		t.Fatalf("after the first emergency: %v", err)
	}
	old, err := jose.Parse(before, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Key(t.Context(), old.KeyID(), ""); !errors.Is(err, ErrUnknownKey) || before == after {
		t.Errorf("the dropped key: %v", err)
	}
}
