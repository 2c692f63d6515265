package jwks

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// A store that is set back, by a restored backup or by an attacker who cannot open
// it, does not bring a dropped key back while one replica stays up.
func TestStoreSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		under := &shelf{}
		store := sure(Sealed(under, "issuer", kek(1)))
		open := func() *Keyring {
			r := sure(Open(t.Context(), store, Policy{Observe: heard.observe}))
			t.Cleanup(func() { r.Close() })
			signedBy(t, r)
			return r
		}
		a, b := open(), open()
		time.Sleep(2 * time.Minute) // two keys
		older := under.get()
		stolen := signedBy(t, a)
		if err := a.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		newer := under.get()
		b.Close()
		synctest.Wait()
		heard.take()

		under.put(older)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if _, err := a.Key(t.Context(), stolen, ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the dropped key: %v", err)
		}
		if signedBy(t, a) == stolen || slices.Contains(publishedBy(t, a), stolen) {
			t.Error("the dropped key signs or is published")
		}
		if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.StateOlder {
			t.Errorf("%+v", e)
		}
		want, got := sure(sure(Sealed(&shelf{blob: newer}, "issuer", kek(1))).Load(t.Context())), sure(store.Load(t.Context()))
		if !bytes.Equal(want, got) {
			t.Errorf("written back was %s, want %s", got, want)
		}
		c := open() // started after it was written back
		if _, err := c.Key(t.Context(), stolen, ""); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("the dropped key, at another replica: %v", err)
		}
		if err := errors.Join(a.Ready(t.Context()), c.Ready(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// The same while the store can only be read: what the replica holds is in use.
func TestStoreSetBackAndReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		r := opened(t, store, Policy{Observe: heard.observe})
		stolen := signedBy(t, r)
		time.Sleep(time.Minute)
		older := store.get()
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		heard.take()
		store.put(older)
		store.refuse(errReadOnly)
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		if kid := signedBy(t, r); kid == stolen || slices.Contains(publishedBy(t, r), stolen) {
			t.Errorf("%s signs", kid)
		}
		reasons := map[event.Reason]int{}
		for _, e := range heard.take() {
			reasons[e.Reason]++
		}
		if len(reasons) != 2 || reasons[event.StateOlder] != 1 || reasons[event.KeysNotWritten] != 1 {
			t.Errorf("%v", reasons)
		}
		if err := r.Ready(t.Context()); !errors.Is(err, errReadOnly) {
			t.Errorf("Ready: %v", err)
		}
		store.refuse(nil)
		time.Sleep(time.Minute)
		if err := r.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The store is set back and written from there: replicas that did not know of a
// Rotate wrote more generations than the replica that does. That one applies the
// Rotate again.
func TestForkedStore(t *testing.T) {
	for _, ahead := range []int{0, 1, 5} {
		synctest.Test(t, func(t *testing.T) {
			store := &shelf{}
			knows := opened(t, store, Policy{})
			stolen := signedBy(t, knows)
			time.Sleep(time.Minute)
			older := store.get()
			if err := knows.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			generation := knows.Status().Generation
			fork := sure(readState(older, nil))
			fork.Generation = generation + int64(ahead)
			fork.Written = time.Now().UTC()
			store.put(sure(fork.blob()))
			time.Sleep(time.Minute)
			if kid := signedBy(t, knows); kid == stolen {
				t.Error("the dropped key signs")
			}
			stored := sure(readState(store.get(), nil))
			if stored.index(stolen) >= 0 || !slices.Contains(stored.Dropped, stolen) || stored.Generation <= fork.Generation {
				t.Errorf("ahead by %d: stored is generation %d, dropped are %q", ahead, stored.Generation, stored.Dropped)
			}
			settled := store.get()
			time.Sleep(5 * time.Minute)
			if after := sure(readState(store.get(), nil)); after.Generation > stored.Generation+1 {
				t.Errorf("it still writes: %d after %d, %s", after.Generation, stored.Generation, settled)
			}
		})
	}
}

// Replicas that hold several generations, and a store that is older than all: the
// newest wins, whichever writes first.
func TestNewestReplicaWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		first := opened(t, store, Policy{})
		signedBy(t, first)
		time.Sleep(time.Minute)
		oldest := store.get()
		stores := make([]movable, 5)
		var replicas []*Keyring
		var dropped []string
		for i := range stores { // each replica reaches only its own store
			own := &shelf{}
			own.put(store.get())
			stores[i].at.Store(own)
			replicas = append(replicas, opened(t, &stores[i], Policy{}))
			if i == len(stores)-1 {
				break // it has the newest state
			}
			dropped = append(dropped, signedBy(t, first))
			if err := first.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		newest := first.Status().Generation
		first.Close()
		one := &shelf{}
		one.put(oldest)
		for i := range stores {
			stores[i].at.Store(one)
		}
		for _, r := range replicas {
			_, _ = r.Key(t.Context(), "", "") // its first use reads the store
		}
		time.Sleep(2 * time.Minute)
		for _, r := range replicas {
			mustStayDropped(t, r, dropped...)
		}
		fresh := opened(t, one, Policy{})
		mustStayDropped(t, fresh, dropped...)
		if got := fresh.Status().Generation; got < newest {
			t.Errorf("generation %d is stored, want %d or later", got, newest)
		}
	})
}

// The keys of another keyring in the store are not taken by a keyring that runs. It
// uses its own as long as it has any. Adopt and Reclaim both end that.
func TestForeignState(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"Adopt", "Reclaim"} {
		synctest.Test(t, func(t *testing.T) {
			var heard listener
			store, other := &shelf{}, &shelf{}
			r := opened(t, store, Policy{Observe: heard.observe, Poll: time.Hour, RotateEvery: 3 * day})
			second := opened(t, store, Policy{Poll: time.Hour, RotateEvery: 3 * day})
			insider := opened(t, other, Policy{Poll: time.Hour, RotateEvery: 3 * day})
			own, forged := signedBy(t, r), signedBy(t, insider)
			signedBy(t, second)
			next := r.Status().NextKey
			time.Sleep(time.Hour)
			store.put(other.get())
			foreign := store.get()
			time.Sleep(day)
			synctest.Wait()
			if kid := signedBy(t, r); kid != own {
				t.Errorf("%s signs", kid)
			}
			if _, err := r.Key(t.Context(), forged, ""); !errors.Is(err, ErrUnknownKey) {
				t.Errorf("the other keyring's key: %v", err)
			}
			if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.StateForeign {
				t.Errorf("%+v", e)
			}
			if err := r.Ready(t.Context()); err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "Adopt") {
				t.Errorf("Ready: %v", err)
			}
			if err := r.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "Reclaim") {
				t.Errorf("Rotate: %v", err)
			}
			insider.Close()
			time.Sleep(4 * day)
			if kid := signedBy(t, r); kid != next || get(t, r).Code != 200 {
				t.Errorf("four days later %s signs", kid)
			}
			if !bytes.Equal(store.get(), foreign) {
				t.Error("the other keyring's keys were overwritten")
			}
			want := map[string]string{"Adopt": forged, "Reclaim": next}[verb]
			call := map[string]func() error{"Adopt": func() error { return r.Adopt(t.Context()) }, "Reclaim": func() error { return r.Reclaim(t.Context()) }}[verb]
			if err := call(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // the other replica follows
			for _, k := range []*Keyring{r, second} {
				kid := signedBy(t, k)
				if verb == "Adopt" && sure(readState(store.get(), nil)).index(kid) < 0 || verb == "Reclaim" && kid != want {
					t.Errorf("%s: %s signs, want %s", verb, kid, want)
				}
				if err := k.Ready(t.Context()); err != nil {
					t.Errorf("%s: %v", verb, err)
				}
			}
			if _, err := second.Key(t.Context(), own, ""); verb == "Adopt" && !errors.Is(err, ErrUnknownKey) {
				t.Errorf("the old key after Adopt: %v", err)
			}
		})
	}
}

// Formats from before the first release are refused, and the error says why.
func TestStateFromBeforeTheFirstRelease(t *testing.T) {
	store, under := &shelf{}, &shelf{}
	sure(Open(t.Context(), store, Policy{})).Close()
	store.put(bytes.Replace(store.get(), []byte(`"m2m_keys": 2`), []byte(`"m2m_keys": 1`), 1))
	if r, err := Open(t.Context(), store, Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), "m2m_keys is 1, this release reads 2") {
		t.Errorf("%v", err)
	}
	sealed := sure(Sealed(under, "issuer", kek(1))).(*sealed)
	under.put(sealed.keks[0].Seal(bytes.Clone(sealMark1), nil, []byte("plain"), sealMark1)) // it had no label
	if r, err := Open(t.Context(), sealed, Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), "before the first release") {
		t.Errorf("%v", err)
	}
	if saved, err := sealed.Save(t.Context(), []byte("plain"), []byte("new")); saved || err == nil {
		t.Errorf("the state was overwritten: %v", err)
	}
}

func TestStateOfANewerRelease(t *testing.T) {
	store := &shelf{}
	sure(Open(t.Context(), store, Policy{})).Close()
	store.put(bytes.Replace(store.get(), []byte(`"m2m_keys": 2`), []byte(`"m2m_keys": 3`), 1))
	if r, err := Open(t.Context(), store, Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), "run the newer release") || strings.Contains(err.Error(), "remove") {
		t.Errorf("%v", err)
	}
	under := &shelf{}
	under.put([]byte("m2m keys, sealed v3\nbox"))
	if r, err := Open(t.Context(), sure(Sealed(under, "issuer", kek(1))), Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), "run the newer release") {
		t.Errorf("%v", err)
	}
}

// A state that is damaged while a keyring runs is not overwritten. When it has been
// removed, the keyring writes its own state.
func TestStoreDamagedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		under := &shelf{}
		r := opened(t, sure(Sealed(under, "issuer", kek(1))), Policy{Observe: heard.observe})
		kid := signedBy(t, r)
		time.Sleep(time.Minute)
		damaged := under.get()
		damaged[len(damaged)/2] ^= 1
		under.put(damaged)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if got := signedBy(t, r); got != kid || !bytes.Equal(under.get(), damaged) {
			t.Errorf("%s signs", got)
		}
		if e := heard.one(t); e.Reason != event.StoreUnavailable || !strings.Contains(e.Err.Error(), "damaged") {
			t.Errorf("%+v", e)
		}
		if status := r.Status(); status.SignsUntil.IsZero() || time.Until(status.SignsUntil) > time.Hour {
			t.Errorf("%+v", status)
		}
		under.put(nil)
		time.Sleep(time.Minute)
		again := opened(t, sure(Sealed(under, "issuer", kek(1))), Policy{})
		if got := signedBy(t, again); got != kid {
			t.Errorf("after a restart %s signs", got)
		}
	})
}
