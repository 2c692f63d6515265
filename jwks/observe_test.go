package jwks

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

func TestObserveRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		store := &shelf{}
		r := opened(t, store, Policy{Observe: heard.observe, Poll: slowPoll})
		first := signedBy(t, r)
		time.Sleep(29 * 24 * time.Hour)
		synctest.Wait()
		if events := heard.take(); len(events) != 0 {
			t.Fatalf("events without a change: %+v", events)
		}
		time.Sleep(25 * time.Hour) // RotateEvery is over
		synctest.Wait()
		second := signedBy(t, r)
		if e := heard.one(t); e.Op != event.OpRotateKey || e.KeyID != second || second == first || e.Reason != "" || e.Err != nil {
			t.Errorf("by the timetable: %+v", e)
		}

		if err := r.Rotate(t.Context()); err != nil { // the next key is a minute old, so the retained one signs
			t.Fatal(err)
		}
		if e := heard.one(t); e.Op != event.OpRotateKey || e.KeyID != signedBy(t, r) || e.KeyID == second || e.Err != nil {
			t.Errorf("by Rotate: %+v", e)
		}

		down := errors.New("no connection")
		store.fail(down)
		if err := r.Rotate(t.Context()); !errors.Is(err, down) {
			t.Fatal(err)
		}
		events := heard.take()
		if len(events) != 2 || events[0].Op != event.OpKeyStore || events[1].Op != event.OpRotateKey {
			t.Errorf("a Rotate that failed: %+v", events)
		}
		for _, e := range events {
			if e.Reason != event.StoreUnavailable || !errors.Is(e.Err, down) || e.KeyID != "" {
				t.Errorf("a Rotate that failed: %+v", e)
			}
		}
		time.Sleep(r.Policy().Poll) // it fails again, which is no change
		store.fail(nil)
		time.Sleep(r.Policy().Poll)
		synctest.Wait()
		if e := heard.one(t); e.Op != event.OpKeyStore || e.Reason != "" || e.Err != nil {
			t.Errorf("the store is back: %+v", e)
		}
	})
}

// When no key signs, because verifiers may not have the next one yet, an event
// says so, and another one when that is over.
func TestObserveNoKeySigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		r := opened(t, &shelf{}, Policy{Observe: heard.observe})
		signedBy(t, r)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		heard.one(t)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := heard.one(t); e.Reason != event.KeysUnavailable || !errors.Is(e.Err, ErrUnavailable) || e.KeyID != "" {
			t.Errorf("%+v", e)
		}
		if err := r.Rotate(t.Context()); err == nil {
			t.Fatal("Rotate dropped no key")
		}
		if e := heard.one(t); e.Reason != event.KeysUnavailable {
			t.Errorf("%+v", e)
		}
		time.Sleep(r.Policy().visible() + r.Policy().Poll)
		synctest.Wait()
		if e := heard.one(t); e.KeyID != signedBy(t, r) || e.Reason != "" {
			t.Errorf("%+v", e)
		}
	})
}

func TestObserveFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		o, r := remoteOf(t, numbered(0), RemoteConfig{Observe: heard.observe})
		o.down.Store(true)
		wantErr(t, r, "k0", ErrUnavailable)
		synctest.Wait()
		if e := heard.one(t); e.Op != event.OpFetch || e.Reason != event.KeysUnavailable || e.Err == nil || e.URL != setURL {
			t.Errorf("without a set: %+v", e)
		}
		o.down.Store(false)
		o.delay.Store(int64(time.Second))
		time.Sleep(time.Minute)
		mustKey(t, r, "k0")
		synctest.Wait()
		if e := heard.one(t); e.Op != event.OpFetch || e.Reason != "" || e.Err != nil || e.URL != setURL || e.Duration != time.Second {
			t.Errorf("a fetch that succeeded: %+v", e)
		}
		o.status(http.StatusBadGateway, "")
		wantErr(t, r, "k1", ErrUnavailable)
		synctest.Wait()
		if e := heard.one(t); e.Reason != event.FetchFailed || e.Err == nil || e.URL != setURL {
			t.Errorf("while a set is held: %+v", e)
		}
		mustKey(t, r, "k0")
		_ = r.Close()
		wantErr(t, r, "k0", ErrUnavailable)
		if events := heard.take(); len(events) != 0 {
			t.Errorf("events without a fetch: %+v", events)
		}
	})
}

// The URL of an event is the issuer's until the metadata has named that of the set.
func TestObserveFetchOfAnIssuer(t *testing.T) {
	const issuer, keys = "https://auth.example.com", "https://keys.example.net/set"
	synctest.Test(t, func(t *testing.T) {
		var heard listener
		s := siteOf(map[string]string{})
		r := NewIssuerRemote(issuer, RemoteConfig{Client: &http.Client{Transport: s}, Observe: heard.observe})
		defer r.Close()
		wantErr(t, r, "k0", ErrUnavailable)
		synctest.Wait()
		if e := heard.one(t); e.URL != issuer || e.Reason != event.KeysUnavailable {
			t.Errorf("%+v", e)
		}
		s.documents[issuer+"/.well-known/oauth-authorization-server"], s.documents[keys] = metadataOf(issuer, keys), numbered(0)
		time.Sleep(time.Minute)
		mustKey(t, r, "k0")
		synctest.Wait()
		if e := heard.one(t); e.URL != keys || e.Err != nil {
			t.Errorf("%+v", e)
		}
	})
}
