package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// published returns a client that publishes its keys.
func published(id, url string) registry.Client {
	c := app()
	c.ID, c.Secrets, c.JWKSURI = id, nil, url
	return c
}

// Keys at a URL are fetched once, and again for a new kid.
func TestPublishedKeys(t *testing.T) {
	key, next := newPair(t), newPair(t)
	at := newPublisher(t, key.public)
	s := newService(t, Config{}, published("keyed", at.URL))
	for range 3 {
		s.wantToken(t, s.post(asserted(key.assert(t, "keyed", nil))))
	}
	s.wantToken(t, s.post(asserted(key.sign(t, claims{"alg": "ES256"}.text(t), assertionOf("keyed").text(t)))))
	if n := at.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	at.publish(keySetOf(t, next.public), nil)
	s.wantToken(t, s.post(asserted(next.assert(t, "keyed", nil))))
	s.wantStatus(t, s.post(asserted(key.assert(t, "keyed", nil))), 401)
	// Forged ids cause no further fetch, and do not keep the client out.
	for n := range 100 {
		s.wantStatus(t, s.post(asserted(next.sign(t, claims{"alg": "ES256", "kid": fmt.Sprint(n)}.text(t), assertionOf("keyed").text(t)))), 401)
	}
	s.wantToken(t, s.post(asserted(next.assert(t, "keyed", nil))))
	if n := at.fetches.Load(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

// Another address in the record takes the place of the first one.
func TestPublishedElsewhere(t *testing.T) {
	key, other := newPair(t), newPair(t)
	first, second := newPublisher(t, key.public), newPublisher(t, other.public)
	store := newStore(t, published("keyed", first.URL))
	s := newService(t, Config{Store: store})
	s.wantToken(t, s.post(asserted(key.assert(t, "keyed", nil))))
	c, err := store.Client(t.Context(), "keyed")
	if err != nil {
		t.Fatal(err)
	}
	changed := c.Clone()
	changed.JWKSURI = second.URL
	if _, err := store.Update(t.Context(), *changed); err != nil {
		t.Fatal(err)
	}
	s.issuer.clients.evict("keyed") // as the feed does
	s.wantStatus(t, s.post(asserted(key.assert(t, "keyed", nil))), 401)
	s.wantToken(t, s.post(asserted(other.assert(t, "keyed", nil))))
}

// A client whose keys cannot be fetched is answered 503, and the others are served.
func TestPublishedKeysFail(t *testing.T) {
	key := newPair(t)
	bad, good := newPublisher(t), newPublisher(t, key.public)
	release := make(chan struct{})
	defer close(release)
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	s := newService(t, Config{}, published("bad", bad.URL), published("good", good.URL), keyed(t, "inline", key))
	for name, answer := range map[string]http.HandlerFunc{
		"500":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"HTML":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no key": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"large":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"keys":[],"x":"%070000d"}`, 0) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad.publish(nil, answer)
			s.issuer.assertions.keys.remotes.idle(t)
			s.wantUnavailable(t, s.post(asserted(key.assert(t, "bad", nil))))
			if e := s.lastEvent(t); e.Reason != event.KeysUnavailable || e.ClientID != "bad" || !e.Claimed {
				t.Errorf("event %+v", e)
			}
		})
	}
	bad.publish(nil, hang)
	s.issuer.assertions.keys.remotes.idle(t)
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 20 {
		r := newForm("/token", asserted(key.assert(t, "bad", nil))).WithContext(ctx)
		waiting.Go(func() { s.wantStatus(t, s.send(r), 503) })
	}
	s.wantToken(t, s.post(asserted(key.assert(t, "good", nil))))
	s.wantToken(t, s.post(asserted(key.assert(t, "inline", nil))))
	cancel()
	waiting.Wait()
}

// idle drops all Remotes, as if they had not been used for long.
func (r *remotes) idle(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	for element := r.order.Front(); element != nil; element = element.Next() {
		remoteOf(element).used = time.Now().Add(-2 * remoteIdle)
	}
	r.mu.Unlock()
	r.sweep()
	if n := len(r.of); n != 0 {
		t.Errorf("%d Remotes are left", n)
	}
}

// There are so many Remotes and no more. A dropped one is closed once nobody uses it.
func TestRemotesAreBounded(t *testing.T) {
	key := newPair(t)
	at := newPublisher(t, key.public)
	r := newRemotes(jwks.RemoteConfig{Quiet: true})
	r.capacity = 3
	clients := make([]registry.Client, 5)
	for n := range clients {
		clients[n] = published(fmt.Sprint("client", n), at.URL)
	}
	first, err := r.enter(&clients[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := range clients {
		if _, err := r.candidates(t.Context(), &clients[n], key.public.ID(), "ES256"); err != nil {
			t.Fatal(err)
		}
		if len(r.of) > 3 || r.order.Len() != len(r.of) {
			t.Fatalf("%d Remotes", len(r.of))
		}
	}
	if !first.dropped {
		t.Fatal("the least recently used one is kept")
	}
	if _, err := first.Key(t.Context(), key.public.ID(), "ES256"); err != nil {
		t.Errorf("a Remote in use is closed: %v", err)
	}
	r.leave(first)
	r.ending.Wait()
	if _, err := first.Key(t.Context(), key.public.ID(), "ES256"); err == nil {
		t.Error("a dropped Remote is not closed")
	}
	second, err := r.enter(&clients[4])
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	if _, err := second.Key(t.Context(), key.public.ID(), "ES256"); err == nil {
		t.Error("a Remote is not closed with the issuer")
	}
	r.leave(second)
	if _, err := r.enter(&clients[4]); err == nil {
		t.Error("a Remote is made after close")
	}
}

// A Remote that nobody uses is closed when it is dropped, whatever the cause.
func TestDroppedRemotesAreClosed(t *testing.T) {
	key := newPair(t)
	at := newPublisher(t, key.public)
	for cause, drop := range map[string]func(r *remotes, idle *clientRemote){
		"too many": func(r *remotes, _ *clientRemote) {
			for n := range 2 {
				other := published(fmt.Sprint("other", n), at.URL)
				if _, err := r.candidates(t.Context(), &other, key.public.ID(), "ES256"); err != nil {
					t.Fatal(err)
				}
			}
		},
		"another URL": func(r *remotes, _ *clientRemote) {
			moved := published("client", at.URL+"/?moved")
			if _, err := r.candidates(t.Context(), &moved, key.public.ID(), "ES256"); err != nil {
				t.Fatal(err)
			}
		},
		"not used for long": func(r *remotes, idle *clientRemote) {
			idle.used = idle.used.Add(-remoteIdle - time.Second)
			r.sweep()
		},
	} {
		r := newRemotes(jwks.RemoteConfig{Quiet: true})
		r.capacity = 2
		client := published("client", at.URL)
		idle, err := r.enter(&client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := idle.Key(t.Context(), key.public.ID(), "ES256"); err != nil {
			t.Fatal(err)
		}
		r.leave(idle)
		r.sweep()
		if _, err := idle.Key(t.Context(), key.public.ID(), "ES256"); err != nil {
			t.Errorf("%s: closed too early: %v", cause, err)
		}
		drop(r, idle)
		r.ending.Wait()
		if _, err := idle.Key(t.Context(), key.public.ID(), "ES256"); err == nil {
			t.Errorf("%s: the Remote is not closed", cause)
		}
		r.close()
	}
}

// So many requests may wait for the keys of one client.
func TestRemoteUsersAreBounded(t *testing.T) {
	r := newRemotes(jwks.RemoteConfig{})
	defer r.close()
	slow, other := published("slow", "https://slow.example.com"), published("other", "https://other.example.com")
	for range maxRemoteUsers {
		if _, err := r.enter(&slow); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.enter(&slow); !errors.Is(err, errKeysBusy) {
		t.Errorf("one more: %v", err)
	}
	if _, err := r.enter(&other); err != nil {
		t.Errorf("another client: %v", err)
	}
}

// A key set in a record is parsed once, and again when it changes.
func TestKeySetIsParsedOnce(t *testing.T) {
	key, next := newPair(t), newPair(t)
	k := newClientKeys(jwks.RemoteConfig{})
	defer k.close()
	c := keyed(t, "keyed", key)
	first := k.parse(&c)
	if again := c.Clone(); k.parse(again) != first {
		t.Error("the same text is parsed twice")
	}
	c.JWKS = keySetOf(t, next.public)
	if k.parse(&c).set.Find(next.public.ID(), "ES256") == nil {
		t.Error("the new set is not used")
	}
	none := app()
	if keys, err := k.all(t.Context(), &none); len(keys) != 0 || err != nil {
		t.Errorf("a client without keys has %v, %v", keys, err)
	}
	if keys, err := k.all(t.Context(), &c); len(keys) != 1 || err != nil {
		t.Errorf("a client with a key has %v, %v", keys, err)
	}
}

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Key sets are fetched with the transport of Config.KeySetClient.
func TestKeySetClient(t *testing.T) {
	key := newPair(t)
	const at = "https://keys.example.com/set"
	var asked []string
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.String())
		w := httptest.NewRecorder()
		_, _ = w.Write(keySetOf(t, key.public))
		return w.Result(), nil
	})
	s := newService(t, Config{KeySetClient: &http.Client{Transport: transport}}, published("keyed", at))
	s.wantToken(t, s.post(asserted(key.assert(t, "keyed", nil))))
	if len(asked) != 1 || asked[0] != at {
		t.Errorf("asked %q", asked)
	}
}
