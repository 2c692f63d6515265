package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Checks and steps that the tests of keyrings share.

// slowPoll is a Policy.Poll for tests of days and more, where each poll costs time.
const slowPoll = 20 * time.Minute

// opened opens a keyring that is closed at the end of the test.
func opened(t *testing.T, store KeyStore, policy Policy) *Keyring {
	t.Helper()
	r, err := Open(t.Context(), store, policy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// setClock makes the wall clock of a replica wrong by off.
func setClock(r *Keyring, off time.Duration) { r.clock.skew.Store(int64(off)) }

// openSkewed is Open for a replica whose clock is off.
func openSkewed(ctx context.Context, store KeyStore, policy Policy, skew time.Duration) (*Keyring, error) {
	r := newOpened(store, sure(policy.withDefaults()))
	setClock(r, skew)
	return r.start(ctx)
}

// signedBy is the key that signs now. What it signs verifies with what the
// keyring publishes.
func signedBy(t *testing.T, r *Keyring) (kid string) {
	t.Helper()
	token, err := r.Sign(t.Context(), "at+jwt", []byte(`{"sub":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.Parse(token, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := r.Key(t.Context(), parsed.KeyID(), "")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := parsed.Verify(key)
	if err != nil || payload != `{"sub":"a"}` {
		t.Fatalf("payload %q, error %v", payload, err)
	}
	if parsed.Type() != "at+jwt" || parsed.Algorithm() != key.Algorithm() {
		t.Errorf("typ %q, alg %q", parsed.Type(), parsed.Algorithm())
	}
	return parsed.KeyID()
}

// publishedBy is the key ids of the set, in its order.
func publishedBy(t *testing.T, r *Keyring) (kids []string) {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(get(t, r).Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// mustFind fails if the keyring does not return this pointer for its id.
func mustFind(t *testing.T, r *Keyring, key *jose.Key) {
	t.Helper()
	if found, err := r.Key(t.Context(), key.ID(), ""); err != nil || found != key {
		t.Fatalf("%v, %v", found, err)
	}
}

// ask sends a request to the JWKS handler.
func ask(t *testing.T, r *Keyring, method string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "/.well-known/jwks.json", http.NoBody)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func get(t *testing.T, r *Keyring, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, r, http.MethodGet, header...)
}

// rotates checks that a keyring of the default timetable is ready and rotates.
func rotates(t *testing.T, r *Keyring) {
	t.Helper()
	kid := signedBy(t, r)
	for begun := time.Now(); time.Since(begun) < 40*day; time.Sleep(2 * time.Hour) {
		got := signedBy(t, r)
		if err := r.Ready(t.Context()); err != nil {
			t.Fatalf("after %v: Ready: %v", time.Since(begun), err)
		}
		if _, err := r.Key(t.Context(), kid, ""); got != kid && err != nil {
			t.Fatalf("after %v: the key that has just signed: %v", time.Since(begun), err)
		}
		kid = got
	}
	if s := r.Status(); s.NextSigns.Sub(r.clock.wall()) > 31*day || s.NextKey == "" {
		t.Errorf("the timetable does not move: %+v", s)
	}
}

// mustStayDropped fails if a keyring accepts, publishes or signs with one of the
// keys, or signs with none.
func mustStayDropped(t *testing.T, r *Keyring, kids ...string) {
	t.Helper()
	signs, published := signedBy(t, r), publishedBy(t, r)
	for _, kid := range kids {
		if _, err := r.Key(t.Context(), kid, ""); !errors.Is(err, ErrUnknownKey) || slices.Contains(published, kid) || signs == kid {
			t.Errorf("the dropped key %s: %v, published %t, signs %t", kid, err, slices.Contains(published, kid), signs == kid)
		}
	}
}

// rotateTwice drops two keys, and returns them and what was stored before.
func rotateTwice(t *testing.T, r *Keyring, store *shelf) (dropped []string, backup []byte) {
	t.Helper()
	signedBy(t, r)
	time.Sleep(time.Minute)
	backup = store.get()
	for range 2 {
		dropped = append(dropped, signedBy(t, r))
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
	}
	return dropped, backup
}

// listener keeps the events that it hears.
type listener struct {
	mu     sync.Mutex
	events []Event
}

func (l *listener) observe(_ context.Context, e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *listener) take() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.events
	l.events = nil
	return events
}

// one is the only event since the last one.
func (l *listener) one(t *testing.T) Event {
	t.Helper()
	events := l.take()
	if len(events) != 1 {
		t.Fatalf("%d events, want 1: %+v", len(events), events)
	}
	return events[0]
}
