package jwks

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// The other RSA algorithms, whose keys take long to make, run with the tag rehearsal.
func TestSignAndVerify(t *testing.T) {
	signAndVerify(t, "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256")
}

func signAndVerify(t *testing.T, algorithms ...string) {
	t.Helper()
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			r := opened(t, File(keyFile(t)), Policy{Algorithm: alg})
			kid := signedBy(t, r)
			if key := sure(r.Key(t.Context(), kid, "")); key.Algorithm() != alg || key.ID() != thumbprint(key.Public()) {
				t.Errorf("%s, kid %s", key.Algorithm(), key.ID())
			}
		})
	}
}

// A published key keeps its pointer while other keys are added and dropped.
func TestKeyringPointers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := opened(t, &shelf{}, Policy{Poll: time.Hour})
		publishedBy(t, r)
		time.Sleep(7 * time.Second) // so that the keyring polls the store at other moments
		first := map[string]*jose.Key{}
		seen := 0
		for range 120 {
			now := publishedBy(t, r)
			for _, kid := range now {
				key := sure(r.Key(t.Context(), kid, ""))
				if first[kid] == nil {
					first[kid], seen = key, seen+1
				}
				if key != first[kid] {
					t.Fatalf("%s has another pointer", kid)
				}
			}
			for kid, key := range first {
				found, err := r.Key(t.Context(), kid, "")
				if slices.Contains(now, kid) {
					if found != key {
						t.Fatalf("%s is published, and not found: %v", kid, err)
					}
				} else if !errors.Is(err, ErrUnknownKey) {
					t.Fatalf("%s is not published, and is found: %v", kid, err)
				}
			}
			time.Sleep(24 * time.Hour)
		}
		if seen < 5 {
			t.Errorf("%d keys in 120 days", seen)
		}
	})
}

// Keys that vanish while the keyring runs are written back, and no new ones are
// made.
func TestKeysVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		r := opened(t, store, Policy{Observe: heard.observe})
		kid := signedBy(t, r)
		time.Sleep(time.Minute)
		blob := store.get()
		store.put(nil)
		time.Sleep(time.Minute)
		if got := signedBy(t, r); got != kid || !bytes.Equal(store.get(), blob) {
			t.Errorf("signs with %s, stored is %s", got, store.get())
		}
		if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.StateOlder || !strings.Contains(e.Err.Error(), "gone") {
			t.Errorf("%+v", e)
		}
		if err := r.Ready(t.Context()); err != nil {
			t.Errorf("Ready: %v", err)
		}
	})
}

// If they cannot be written back either, the keyring signs with those it holds, as it
// does when the store holds an older state.
func TestKeysVanishFromAReadOnlyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		r := opened(t, store, Policy{Observe: heard.observe, Poll: slowPoll})
		kid, next := signedBy(t, r), r.Status().NextKey
		blob := store.get()
		store.refuse(errReadOnly)
		store.put(nil)
		time.Sleep(day)
		synctest.Wait()
		if got := signedBy(t, r); got != kid || get(t, r).Code != 200 {
			t.Errorf("%s signs", got)
		}
		if e := heard.take(); len(e) != 2 || e[0].Reason != event.KeysNotWritten || e[1].Reason != event.StateOlder || !strings.Contains(e[1].Err.Error(), "gone") {
			t.Errorf("%+v", e)
		}
		if err := r.Ready(t.Context()); !errors.Is(err, errReadOnly) || errors.Is(err, ErrUnavailable) {
			t.Errorf("Ready: %v", err)
		}
		time.Sleep(60 * day)
		if got := signedBy(t, r); got != next || get(t, r).Code != 200 {
			t.Errorf("two months later %s signs", got)
		}
		if _, err := r.Key(t.Context(), "unknown", ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("Key: %v", err)
		}
		store.refuse(nil)
		time.Sleep(slowPoll)
		if err := r.Ready(t.Context()); err != nil || len(store.get()) < len(blob) {
			t.Errorf("Ready: %v, stored are %d bytes", err, len(store.get()))
		}
	})
}

// While the store is away the keyring uses its snapshot until that is too old. Then it
// answers ErrUnavailable, until the store is back.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := opened(t, store, Policy{})
		kid := signedBy(t, r)
		time.Sleep(time.Hour)
		down := errors.New("no connection")
		store.fail(down)
		time.Sleep(5 * time.Minute)
		if got := signedBy(t, r); got != kid {
			t.Errorf("%s signs", got)
		}
		time.Sleep(24 * time.Hour)
		for range 1000 {
			if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) || !errors.Is(err, down) {
				t.Fatalf("Sign: %v", err)
			}
			if _, err := r.Key(t.Context(), kid, ""); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownKey) {
				t.Fatalf("Key: %v", err)
			}
		}
		loads := store.loads
		for range 1000 {
			_, _ = r.Key(t.Context(), kid, "")
		}
		if store.loads-loads > 1 {
			t.Errorf("%d reads of a store that is away, at the same moment", store.loads-loads)
		}
		store.fail(nil)
		time.Sleep(time.Second)
		if got := signedBy(t, r); got != kid {
			t.Errorf("%s signs", got)
		}
	})
}

// A caller that gives up does not disturb later callers.
func TestCancelledCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 30 { // a caller that has given up may not read the store at all
			r := sure(Open(t.Context(), &shelf{}, Policy{}))
			kid := r.Status().SigningKey
			time.Sleep(48 * time.Hour) // no request, so the snapshot is old
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = r.Key(ctx, kid, "")
			if _, err := r.Key(t.Context(), kid, ""); err != nil {
				t.Errorf("the next caller: %v", err)
			}
			r.Close()
		}
	})
}

// A store that hangs delays no request while the snapshot can be trusted, and after
// that one request a second, by a second. All others get the last error at once.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{shelf: &shelf{}}
		r := opened(t, store, Policy{})
		kid := signedBy(t, r)
		time.Sleep(time.Hour)
		store.hang.Store(true)
		for hung := time.Now(); time.Since(hung) < 55*time.Minute; time.Sleep(7 * time.Second) {
			began := time.Now()
			if got := signedBy(t, r); got != kid || time.Since(began) > 0 {
				t.Fatalf("%v after it hung %s signs, in %v", began.Sub(hung), got, time.Since(began))
			}
		}
		time.Sleep(time.Hour)
		var total, longest time.Duration
		const calls = 1000
		for range calls {
			began := time.Now()
			if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			total, longest = total+time.Since(began), max(longest, time.Since(began))
			time.Sleep(100 * time.Millisecond)
		}
		if longest > time.Second || total > calls*50*time.Millisecond {
			t.Errorf("requests wait for %v, and %v at most", total/calls, longest)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := r.Key(t.Context(), kid, ""); !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("held up for %v", took)
		}
		store.hang.Store(false)
		time.Sleep(storeTimeout + time.Second)
		if _, err := r.Key(t.Context(), kid, ""); err != nil {
			t.Error(err)
		}
	})
}

// A store hangs, and a suspend makes the snapshot too old.
func TestStoreHangsAfterSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{shelf: &shelf{}}
		r := opened(t, store, Policy{})
		signedBy(t, r)
		store.hang.Store(true)
		setClock(r, 2*time.Hour)
		for range 20 {
			began := time.Now()
			if _, err := r.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) || time.Since(began) > longestCatchUp {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		}
	})
}

func TestKeyringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		store := &shelf{}
		unused := sure(Open(t.Context(), store, Policy{}))
		if err := errors.Join(unused.Close(), unused.Close()); err != nil {
			t.Error(err)
		}
		if _, err := unused.Key(t.Context(), "a", ""); err == nil {
			t.Error("a closed keyring found a key")
		}
		used := sure(Open(t.Context(), store, Policy{}))
		kid := signedBy(t, used)
		time.Sleep(time.Hour)
		if err := errors.Join(used.Close(), used.Close()); err != nil {
			t.Error(err)
		}
		loads := store.loads
		time.Sleep(24 * time.Hour)
		if store.loads != loads {
			t.Error("a closed keyring read the store")
		}
		if _, err := used.Key(t.Context(), kid, ""); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a day later: %v", err)
		}
		if _, err := used.Sign(t.Context(), "at+jwt", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a day later: %v", err)
		}
	})
}

// Close during the first requests is no race.
func TestKeyringCloseWhileStarting(t *testing.T) {
	for range 50 {
		r := sure(Open(t.Context(), &shelf{}, Policy{}))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = r.Key(t.Context(), "a", "") })
		}
		wg.Go(func() { r.Close() })
		wg.Go(func() { r.Close() })
		wg.Wait()
		r.Close()
	}
}

// Key, which each request calls, allocates nothing.
func TestKeyringKeyDoesNotAllocate(t *testing.T) {
	opened := opened(t, &shelf{}, Policy{})
	for name, r := range map[string]*Keyring{"opened": opened, "static": sure(NewKeyring(testKeys()["ES256"].private))} {
		ctx, kid := t.Context(), r.Status().SigningKey
		if n := testing.AllocsPerRun(1000, func() {
			key, err := r.Key(ctx, kid, "")
			if err != nil || key == nil {
				t.Error(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A verifier that has used a key asks for it again, and compares the pointers.
func TestKeyringKeyIsCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := opened(t, store, Policy{})
		key := sure(r.Key(t.Context(), r.Status().SigningKey, ""))
		mustFind(t, r, key)
		store.fail(errors.New("down"))
		time.Sleep(time.Until(r.Status().ReadAt.Add(time.Hour)) - time.Nanosecond)
		mustFind(t, r, key)
		time.Sleep(time.Nanosecond)
		if found, err := r.Key(t.Context(), key.ID(), ""); found != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("after the hour in which a snapshot is trusted: %v, %v", found, err)
		}
		store.fail(nil)
		time.Sleep(time.Second)
		mustFind(t, r, key)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if found, err := r.Key(t.Context(), key.ID(), ""); found != nil || !errors.Is(err, ErrUnknownKey) {
			t.Errorf("a key that was dropped: %v, %v", found, err)
		}
		key = sure(r.Key(t.Context(), r.Status().SigningKey, ""))
		mustFind(t, r, key)
		r.Close()
		if found, err := r.Key(t.Context(), key.ID(), ""); found != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("after Close: %v, %v", found, err)
		}
		static := sure(NewKeyring(testKeys()["ES256"].private))
		key = sure(static.Key(t.Context(), static.Status().SigningKey, ""))
		time.Sleep(1000 * time.Hour)
		mustFind(t, static, key)
	})
}
