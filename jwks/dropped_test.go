package jwks

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A store is set back to a state with dropped keys only, and newer states are written after
// it. The replica that stayed up overwrites them with its own keys.
func TestForkOfDroppedKeys(t *testing.T) {
	for _, ahead := range []int64{-1, 0, 5} {
		synctest.Test(t, func(t *testing.T) {
			store := &shelf{}
			r := opened(t, store, Policy{})
			dropped, backup := rotateTwice(t, r, store)
			own := publishedBy(t, r)
			fork := sure(readState(backup, nil))
			fork.Generation = r.Status().Generation + ahead
			fork.Written = time.Now().UTC()
			store.put(sure(fork.blob()))
			time.Sleep(10 * time.Minute)
			mustStayDropped(t, r, dropped...)
			if got := publishedBy(t, r); !slices.Equal(got, own) {
				t.Errorf("%q are published, want %q", got, own)
			}
			if err := r.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			fresh := opened(t, store, Policy{})
			mustStayDropped(t, fresh, dropped...)
		})
	}
}

// Each of two forks dropped all keys of the other: new keys are made.
func TestForksThatDroppedEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := opened(t, store, Policy{})
		dropped, backup := rotateTwice(t, r, store)
		own := publishedBy(t, r)
		fork := sure(readState(backup, nil))
		fork.Generation = r.Status().Generation + 1
		fork.Written = time.Now().UTC()
		fork.Dropped = own
		store.put(sure(fork.blob()))
		time.Sleep(10 * time.Minute)
		mustStayDropped(t, r, append(dropped, own...)...)
		if err := r.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A replica that starts takes no key that the stored state itself calls dropped.
func TestStartOnDroppedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := sure(Open(t.Context(), store, Policy{}))
		kids := publishedBy(t, r)
		time.Sleep(10 * time.Minute)
		r.Close()
		bad := sure(readState(store.get(), nil))
		bad.Dropped = kids[:1]
		store.put(sure(bad.blob()))
		r = opened(t, store, Policy{})
		mustStayDropped(t, r, kids[0])
		bad.Dropped = kids
		store.put(sure(bad.blob()))
		if started, err := Open(t.Context(), store, Policy{}); started != nil || err == nil {
			t.Errorf("it opened on dropped keys only: %v", err)
		}
	})
}

// The same by calls of the API alone: a backup is restored while the replica with the
// newer state cannot reach the store, another replica starts on it, and its operator
// calls Reclaim. No correct clock is reported as wrong.
func TestDroppedStayDroppedAfterReclaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		reached := &cutOff{shelf: store}
		a := opened(t, reached, Policy{})
		dropped, backup := rotateTwice(t, a, store)
		reached.away.Store(true)
		store.put(backup)
		b := opened(t, store, Policy{})
		for b.Status().Generation < a.Status().Generation {
			if err := b.Reclaim(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		reached.away.Store(false)
		time.Sleep(5 * time.Minute)
		for _, r := range []*Keyring{a, b} {
			mustStayDropped(t, r, dropped...)
			if err := r.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A replica that was cut off writes its newer generation over a fork that was
// written later. No other replica reports its own clock as wrong.
func TestWriteBackOverALaterFork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		reached := &cutOff{shelf: store}
		a := opened(t, reached, Policy{})
		dropped, backup := rotateTwice(t, a, store)
		reached.away.Store(true)
		store.put(backup)
		b := opened(t, store, Policy{})
		time.Sleep(20 * time.Minute)
		if err := b.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		reached.away.Store(false)
		time.Sleep(5 * time.Minute)
		for _, r := range []*Keyring{a, b} {
			mustStayDropped(t, r, dropped...)
			if err := r.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A write succeeds and its answer is lost: a read of the store shows that. If the store
// cannot be read either, Rotate returns ErrOutcomeUnknown.
func TestSaveThatFailsAfterWriting(t *testing.T) {
	for _, blind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := &savesAndFails{shelf: &shelf{}, blind: blind}
			r := opened(t, store, Policy{})
			kid := signedBy(t, r)
			time.Sleep(10 * time.Minute)
			store.fails = true
			err := r.Rotate(t.Context())
			if blind != errors.Is(err, ErrOutcomeUnknown) || !blind && err != nil {
				t.Errorf("blind %t: %v", blind, err)
			}
			store.fails = false
			store.fail(nil)
			time.Sleep(2 * time.Minute)
			mustStayDropped(t, r, kid)
			store.fails = true
			store.fail(nil)
			if err := r.Reclaim(t.Context()); blind != errors.Is(err, ErrOutcomeUnknown) || !blind && err != nil {
				t.Errorf("Reclaim, blind %t: %v", blind, err)
			}
		})
	}
}

func TestSealedLabelNotUTF8(t *testing.T) {
	if _, err := Sealed(&shelf{}, "a\xff", kek(1)); err == nil {
		t.Error("a label that is not UTF-8 was accepted")
	}
	for _, label := range []string{"a\nb", "a\x00", "<&>\u2028", "\ufffd"} {
		store := sure(Sealed(&shelf{}, label, kek(1)))
		sure(Open(t.Context(), store, Policy{})).Close()
		if blob, err := store.Load(t.Context()); err != nil || blob == nil {
			t.Errorf("%q: %v", label, err)
		}
	}
}
