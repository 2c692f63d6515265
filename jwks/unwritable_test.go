package jwks

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// A store that can be read and not written: the stored keys serve as long as they can,
// and an event reports it at once.
func TestKeyStoreThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		r := opened(t, store, Policy{Observe: heard.observe, Poll: time.Hour})
		first := signedBy(t, r)
		next := r.Status().NextKey
		time.Sleep(time.Minute)
		store.refuse(errReadOnly)
		begun := time.Now()
		var told time.Duration
		for time.Since(begun) < 100*day {
			kid := signedBy(t, r)
			if w := get(t, r); w.Code != http.StatusOK {
				t.Fatalf("after %v: JWKS %d", time.Since(begun), w.Code)
			}
			if signs := time.Since(begun) >= 30*day; signs && kid != next || !signs && time.Since(begun) < 29*day && kid != first {
				t.Fatalf("after %v %s signs", time.Since(begun), kid)
			}
			if told == 0 && r.Ready(t.Context()) != nil {
				told = time.Since(begun)
			}
			time.Sleep(2 * time.Hour)
		}
		if told == 0 || told > 12*time.Hour {
			t.Errorf("Ready reported it after %v", told)
		}
		if err := r.Ready(t.Context()); !errors.Is(err, errReadOnly) || errors.Is(err, ErrUnavailable) {
			t.Errorf("Ready: %v", err)
		}
		status := r.Status()
		if !errors.Is(status.WriteError, errReadOnly) || time.Since(status.WriteFailsSince) < 99*day || status.SigningKey != next ||
			time.Since(status.ReadAt) > time.Hour || status.RotationStops.Sub(begun).Round(day) != 60*day {
			t.Errorf("%+v", status)
		}
		events := heard.take()
		if len(events) != 2 || events[0].Op != event.OpKeyStore || events[0].Reason != event.KeysNotWritten || events[1].KeyID != next {
			t.Errorf("%+v", events)
		}
		store.refuse(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if e := heard.take()[0]; e.Op != event.OpKeyStore || e.Reason != "" {
			t.Errorf("%+v", e)
		}
		if err := r.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if status := r.Status(); status.WriteError != nil || len(status.Problems) != 0 {
			t.Errorf("%+v", status)
		}
	})
}

// A replica that starts on a store that it cannot write works with the keys that
// are there. Without keys, the error says what to do.
func TestOpenUnwritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		store.refuse(errReadOnly)
		if r, err := Open(t.Context(), store, Policy{}); r != nil || !errors.Is(err, errReadOnly) {
			t.Errorf("without keys: %v", err)
		}
		store.refuse(nil)
		sure(Open(t.Context(), store, Policy{})).Close()
		store.refuse(errReadOnly)
		var heard listener
		r := opened(t, store, Policy{Observe: heard.observe, Algorithm: "EdDSA"})
		if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != event.KeysNotWritten || !errors.Is(e.Err, errReadOnly) {
			t.Errorf("%+v", e)
		}
		signedBy(t, r)
		if err := r.Ready(t.Context()); !errors.Is(err, errReadOnly) || errors.Is(err, ErrUnavailable) {
			t.Errorf("Ready: %v", err)
		}
		store.refuse(nil)
		time.Sleep(2 * time.Minute) // the changed policy is still applied
		synctest.Wait()
		kids := publishedBy(t, r)
		if key := sure(r.Key(t.Context(), kids[len(kids)-1], "")); key.Algorithm() != "EdDSA" {
			t.Errorf("the changed policy was not adopted: the newest key is of %s", key.Algorithm())
		}
	})
}

// A write that hangs delays no request.
func TestSaveHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hangingSave{shelf: &shelf{}}
		r := opened(t, store, Policy{Poll: time.Hour})
		kid := signedBy(t, r)
		store.hang.Store(true)
		for begun := time.Now(); time.Since(begun) < 29*day+12*time.Hour; time.Sleep(time.Hour) {
			asked := time.Now()
			if got := signedBy(t, r); got != kid || get(t, r).Code != http.StatusOK || time.Since(asked) > 0 {
				t.Fatalf("%s signs, after %v", got, time.Since(asked))
			}
		}
		if err := r.Ready(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ready: %v", err)
		}
	})
}

// A key file that cannot be replaced: its temporary file cannot be made.
func TestFileUnwritable(t *testing.T) {
	path := keyFile(t)
	block := func() {
		if err := os.MkdirAll(filepath.Join(path+".tmp", "full"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	block()
	if r, err := Open(t.Context(), File(path), Policy{}); r != nil || err == nil || !strings.Contains(err.Error(), "writing the key file") {
		t.Errorf("%v", err)
	}
	if err := os.RemoveAll(path + ".tmp"); err != nil {
		t.Fatal(err)
	}
	sure(Open(t.Context(), File(path), Policy{})).Close()
	block()
	r := opened(t, File(path), Policy{})
	signedBy(t, r)
	if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "writing the key file") {
		t.Errorf("Ready: %v", err)
	}
}

func TestFileAdvice(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EBUSY:  "mount its directory /run/keys instead of the file",
		syscall.EROFS:  "mount the directory /run/keys writable",
		syscall.ENOSPC: "the disk is full",
		syscall.EACCES: "writable for this process's user",
		syscall.EIO:    "",
	} {
		got := file("/run/keys/keys.json").advice(&os.LinkError{Op: "rename", Err: err})
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%v: %q", err, got)
		}
	}
}
