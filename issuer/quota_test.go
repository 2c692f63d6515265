package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// The concurrent revocations of one client are bounded, and do not delay other clients.
func TestRevokeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, secret := otherClient()
		store := &watched{Memory: newStore(t, app(), other)}
		s := newService(t, Config{Store: store})
		tokens := make([]*granted, 64)
		for n := range tokens {
			tokens[n] = s.wantToken(t, s.post(appForm))
		}
		theirs := s.wantToken(t, s.post(form("grant_type", "client_credentials", "client_id", "other", "client_secret", secret)))
		release := make(chan struct{})
		store.does(at("Revoke", func(ctx context.Context, _ string) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ctx.Err()
		}))
		answers := make(chan *httptest.ResponseRecorder, len(tokens))
		for _, g := range tokens {
			go func() {
				w := httptest.NewRecorder()
				s.issuer.Handler().ServeHTTP(w, newForm("/revoke", about(g.token)))
				answers <- w
			}()
		}
		synctest.Wait()
		if got := len(answers); got != len(tokens)-maxWrites {
			t.Errorf("%d are answered at once, want all but %d", got, maxWrites)
		}
		done := make(chan int, 1)
		go func() { // another client waits for the store alone
			w := httptest.NewRecorder()
			s.issuer.Handler().ServeHTTP(w, newForm("/revoke", form("client_id", "other", "client_secret", secret, "token", theirs.token)))
			done <- w.Code
		}()
		synctest.Wait()
		close(release)
		if got := <-done; got != 200 || !s.revoked(t, theirs) {
			t.Errorf("another client is answered %d", got)
		}
		count := map[int]int{}
		for range tokens {
			w := <-answers
			count[w.Code]++
			if w.Code == 429 && (w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "temporarily_unavailable")) {
				t.Errorf("%v %s", w.Header(), w.Body)
			}
		}
		if count[200] != maxWrites || count[429] != len(tokens)-maxWrites {
			t.Errorf("answers %v", count)
		}
		s.mu.Lock()
		busy := 0
		for _, e := range s.events {
			if e.Reason == event.Busy && e.Op == event.OpRevoke && e.ClientID == "app" && errors.Is(e.Err, errManyWrites) {
				busy++
			}
		}
		s.mu.Unlock()
		if busy != count[429] {
			t.Errorf("%d events for %d answers of 429", busy, count[429])
		}
	})
}

// With maxRevocations live revocations, at any replicas, a client's next one is a cut-off of
// the client. After that it can revoke single tokens again.
func TestRevokeLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &watched{Memory: newStore(t, app())}
		here, there := newService(t, Config{Store: store}), newService(t, Config{Store: store})
		there.wantToken(t, there.post(appForm))
		old, kept := here.wantToken(t, here.post(appForm)), here.wantToken(t, here.post(appForm))
		for n := range maxRevocations - 1 {
			put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: fmt.Sprint(n), ClientID: "app", ExpiresAt: time.Now().Add(10 * time.Minute)})
			put(t, store.Memory, registry.Change{Kind: registry.TokenRevoked, TokenID: fmt.Sprint("x", n), ClientID: "other", ExpiresAt: time.Now().Add(10 * time.Minute)})
		}
		time.Sleep(followPromise)
		here.wantBody(t, here.postTo("/revoke", about(old.token)), "{}") // the last one
		if here.revoked(t, kept) || !here.revoked(t, old) {
			t.Error("another token is revoked, or this one is not")
		}
		time.Sleep(followPromise)
		if got := there.issuer.Status().Revocations; got != 2*maxRevocations-1 {
			t.Errorf("%d live revocations are known elsewhere", got)
		}
		again := there.wantToken(t, there.post(appForm))
		there.wantBody(t, there.postTo("/revoke", about(again.token)), "{}")
		time.Sleep(followPromise)
		for _, s := range []*service{here, there} {
			if got := s.issuer.Status().Revocations; got != maxRevocations-1+1 { // of the other client, and the cut-off
				t.Errorf("%d live revocations after the cut-off", got)
			}
			if !s.revoked(t, again) || !s.revoked(t, kept) {
				t.Error("the client is not cut off")
			}
			if next := s.wantToken(t, s.post(appForm)); s.revoked(t, next) {
				t.Error("the next token is revoked")
			}
		}
		// The entries that the cut-off covers no longer count. The client's next revocation
		// is again of a single token.
		for _, s := range []*service{here, there} {
			alone, sibling := s.wantToken(t, s.post(appForm)), s.wantToken(t, s.post(appForm))
			s.wantBody(t, s.postTo("/revoke", about(alone.token)), "{}")
			if !s.revoked(t, alone) || s.revoked(t, sibling) {
				t.Error("another token is revoked, or this one is not")
			}
			time.Sleep(followPromise)
			if got := s.issuer.Status().Revocations; s.revoked(t, sibling) || got != maxRevocations+1 {
				t.Errorf("the sibling is revoked later, or %d revocations are live", got)
			}
			put(t, store.Memory, registry.CutOff("app"))
			time.Sleep(followPromise)
		}
		alone := here.wantToken(t, here.post(appForm))
		here.wantBody(t, here.postTo("/revoke", about(alone.token)), "{}")
		time.Sleep(15*time.Minute + afterExpiry + 2*sweepEvery)
		if got := here.issuer.Status().Revocations; got != 1 {
			t.Errorf("%d live revocations after their expiry, want the cut-off", got)
		}
	})
}

// A cut-off drops the entries of the tokens that it covers, in either order of arrival. It
// keeps entries of other clients, of later tokens, and of tokens whose client is not known.
func TestCutOffDropsTokens(t *testing.T) {
	for name, c := range map[string]registry.Change{"client": {Kind: registry.ClientCutOff, ClientID: "app"}, "all": {Kind: registry.AllCutOff}} {
		until := time.Now().Add(time.Hour)
		c.Sequence, c.ExpiresAt = 100, until
		ids := map[string]string{}
		entry := func(name, client string, number int64) registry.Change {
			ids[name] = newTokenID(tokenID{number, 0})
			return registry.Change{Sequence: 200, Kind: registry.TokenRevoked, TokenID: ids[name], ClientID: client, ExpiresAt: until}
		}
		before := []registry.Change{entry("old", "app", 99), entry("new", "app", 100), entry("other's", "other", 99), entry("of nobody", "", 99)}
		r := newRevoked(time.Hour)
		for _, e := range before {
			r.add(e)
		}
		r.add(c)
		r.dropCovered()
		r.add(entry("late", "app", 98))
		r.dropCovered()
		want, kept := 1, 3
		if name == "all" {
			kept = 1
		}
		if got, size := r.of("app"), int(r.tokens.size.Load()); got != want || size != kept {
			t.Errorf("%s: %d of the client are counted, %d are kept, want %d and %d", name, got, size, want, kept)
		}
		for id, client := range map[string]string{"old": "app", "new": "app", "late": "app", "other's": "other", "of nobody": "app"} {
			if !r.has(ids[id], client) {
				t.Errorf("%s: the token %q is not revoked", name, id)
			}
		}
	}
}
