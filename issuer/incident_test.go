package issuer

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// incidents are what an operator does against the client "app" in an incident. Each is one
// write to the store.
var incidents = map[string]func(ctx context.Context, m *registry.Memory) error{
	"revoked": func(ctx context.Context, m *registry.Memory) error {
		_, err := m.Revoke(ctx, registry.CutOff("app"))
		return err
	},
	"deleted": func(ctx context.Context, m *registry.Memory) error { return m.Delete(ctx, "app") },
	"disabled": func(ctx context.Context, m *registry.Memory) error {
		c, err := m.Client(ctx, "app")
		if err != nil {
			return err
		}
		c.Disabled = true
		_, err = m.Update(ctx, *c)
		return err
	},
	"rotated": func(ctx context.Context, m *registry.Memory) error {
		_, err := m.RotateSecret(ctx, "app", registry.Rotation{Revoke: true})
		return err
	},
	"removed": func(ctx context.Context, m *registry.Memory) error {
		return m.RemoveSecret(ctx, "app", appStored.ID, true)
	},
	"all": func(ctx context.Context, m *registry.Memory) error {
		_, err := m.Revoke(ctx, registry.Change{Kind: registry.AllCutOff})
		return err
	},
}

func forIncidents(t *testing.T, f func(t *testing.T, act func(context.Context, *registry.Memory) error)) {
	t.Helper()
	for name, act := range incidents {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, act) }) })
	}
}

// With a write that takes long, tokens that any replica grants before it commits are
// revoked once the operator's call has returned. So are tokens of a replica that has not
// read the entry yet.
func TestIncidentSlowWrite(t *testing.T) {
	forIncidents(t, func(t *testing.T, act func(context.Context, *registry.Memory) error) {
		store := newStore(t, app())
		here, there := newService(t, Config{Store: store}), newService(t, Config{Store: store})
		var before, after []*granted
		for range 40 { // 20 s until the write commits
			time.Sleep(500 * time.Millisecond)
			before = append(before, there.wantToken(t, there.post(appForm)), here.wantToken(t, here.post(appForm)))
		}
		if err := act(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			for _, s := range []*service{here, there} {
				if w := s.post(appForm); w.Code == 200 {
					after = append(after, s.wantToken(t, w))
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(followPromise)
		for n, g := range before {
			if !here.revoked(t, g) || !there.revoked(t, g) {
				t.Errorf("token %d from before the call is not revoked", n)
			}
		}
		if !here.revoked(t, after[0]) {
			t.Error("a token of a replica that had not read the entry is not revoked")
		}
		current, err := store.Client(t.Context(), "app")
		entitled := err == nil && !current.Disabled && len(current.Secrets) == 1 && current.Secrets[0].ID == appStored.ID
		for n, g := range after {
			if good := !here.revoked(t, g); good != !there.revoked(t, g) || good && !entitled {
				t.Errorf("token %d from after the call is valid: %v", n, good)
			}
		}
		if last := after[len(after)-1]; entitled && here.revoked(t, last) {
			t.Error("the last token is revoked, although the client may have tokens")
		}
	})
}

// A replica that is cut off from the store grants for MaxRevocationLag. Replicas that have
// read the entry refuse those tokens.
func TestIncidentPartition(t *testing.T) {
	forIncidents(t, func(t *testing.T, act func(context.Context, *registry.Memory) error) {
		memory := newStore(t, app())
		cable := &watched{Memory: memory}
		here, there := newService(t, Config{Store: memory}), newService(t, Config{Store: cable})
		there.wantToken(t, there.post(appForm))
		cable.does(down)
		cut := time.Now()
		if err := act(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		if err := here.issuer.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		var late []*granted
		for time.Since(cut) < 5*time.Minute {
			if w := there.post(appForm); w.Code == 200 {
				g := there.wantToken(t, w)
				if late = append(late, g); !here.revoked(t, g) {
					t.Fatalf("%v after the call, the partitioned replica grants a valid token", time.Since(cut))
				}
			} else if w.Code != 503 {
				t.Fatalf("status %d", w.Code)
			} else if since := time.Since(cut); since < 50*time.Second {
				t.Fatalf("status 503 after %v", since)
			}
			time.Sleep(time.Second)
		}
		if len(late) < 50 || len(late) > 62 {
			t.Errorf("%d tokens at one per second, want those of a minute", len(late))
		}
		wantLag(t, there.issuer, errDown)
		cable.does(nil)
		time.Sleep(storeTimeout + followEvery)
		for _, g := range late {
			if !here.revoked(t, g) || !there.revoked(t, g) {
				t.Fatal("a late token is valid after the partition")
			}
		}
	})
}

// A replica that can read clients but not the feed uses a changed record within 2 s.
func TestIncidentWithoutFeed(t *testing.T) {
	forIncidents(t, func(t *testing.T, act func(context.Context, *registry.Memory) error) {
		store := &watched{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		s.wantToken(t, s.post(appForm))
		store.does(at("Changes", down))
		time.Sleep(10 * time.Second)
		s.wantToken(t, s.post(appForm))
		before, _ := store.memory().Client(t.Context(), "app")
		if err := act(t.Context(), store.Memory); err != nil {
			t.Fatal(err)
		}
		time.Sleep(followPromise)
		after, err := store.memory().Client(t.Context(), "app")
		gone := err != nil || after.Disabled || len(after.Secrets) == 0 || after.Secrets[0].ID != before.Secrets[0].ID
		if w := s.post(appForm); (w.Code == 401) != gone || w.Code != 401 && w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// Neither enabling a client nor registering it again makes an older token valid again.
func TestIncidentUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		here, there := newService(t, Config{Store: store}), newService(t, Config{Store: store})
		old := here.wantToken(t, here.post(appForm))
		for name, undo := range map[string]func(ctx context.Context) error{
			"disabled": func(ctx context.Context) error {
				c, err := store.Client(ctx, "app")
				if err != nil {
					return err
				}
				c.Disabled = false
				_, err = store.Update(ctx, *c)
				return err
			},
			"deleted": func(ctx context.Context) error { _, err := store.Register(ctx, app()); return err },
		} {
			if err := errors.Join(incidents[name](t.Context(), store), undo(t.Context())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(followPromise)
			next := there.wantToken(t, there.post(appForm))
			for _, s := range []*service{here, there, newService(t, Config{Store: store})} {
				if !s.revoked(t, old) || s.revoked(t, next) {
					t.Errorf("%s: the old token is revoked: %v, the new one: %v", name, s.revoked(t, old), s.revoked(t, next))
				}
			}
			old = next
		}
	})
}

// A replica grants nothing before its first poll of the feed. It refuses wrong secrets.
func TestNoGrantBeforeFirstPoll(t *testing.T) {
	for name, act := range map[string]func(context.Context, string) error{"down": down, "hung": hung} {
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			cutOff(t, store, registry.CutOff("app"))
			store.does(at("Changes", act))
			s := newService(t, Config{Store: store})
			for range 5 {
				s.wantUnavailable(t, s.post(appForm))
				s.wantCause(t, errLag)
			}
			s.wantUnauthorized(t, s.post(appForm+"x"), errWrongSecret)
			store.does(nil)
			time.Sleep(storeTimeout + followEvery)
			if g := s.wantToken(t, s.post(appForm)); s.revoked(t, g) {
				t.Errorf("%s: the first token is revoked", name)
			}
		})
	}
}

// hookedStore calls hook between the reading of a record and its return.
type hookedStore struct {
	*registry.Memory
	hook func(ctx context.Context)
}

func (h *hookedStore) Client(ctx context.Context, id string) (*registry.Client, error) {
	c, err := h.Memory.Client(ctx, id)
	if hook := h.hook; hook != nil {
		h.hook = nil
		hook(ctx)
	}
	return c, err
}

// A cut-off that is written and read while a record is on its way revokes the token that
// is granted by that record: the number was taken before the record was read.
func TestNumberBeforeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hookedStore{Memory: newStore(t, app())}
		s := newService(t, Config{Store: store})
		store.hook = func(ctx context.Context) {
			cutOff(t, store, registry.CutOff("app"))
			if err := s.issuer.Sync(ctx); err != nil {
				t.Error(err)
			}
		}
		if g := s.wantToken(t, s.post(appForm)); !s.revoked(t, g) {
			t.Error("a token is valid although its client was cut off after the record was read")
		}
		if g := s.wantToken(t, s.post(appForm)); s.revoked(t, g) {
			t.Error("the next one is revoked")
		}
	})
}

// A record that is read and cached between an eviction and the end of the poll has the
// number of that poll.
func TestNumberWhileEvicting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, app())
		var cache *clientCache
		feed := newFollower(store, time.Minute, func(c registry.Change) {
			cache.evict(c.ClientID)
			if _, err := cache.client(t.Context(), "app", address(1)); err != nil {
				t.Error(err)
			}
		}, func(event.Reason, error) {})
		defer feed.close()
		cache = newClientCache(store, feed, newLookups())
		if err := feed.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		sequence := cutOff(t, store, registry.CutOff("app"))
		if err := feed.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c, err := cache.client(t.Context(), "app", address(1)); err != nil || c.number < sequence {
			t.Errorf("the number %d is below the cut-off %d, %v", c.number, sequence, err)
		}
	})
}

// The number of a grant is never below a cut-off that the replica has read, in any
// interleaving of record, eviction and poll.
func TestNumberNeverBelow(t *testing.T) {
	store := newStore(t, app())
	s := newService(t, Config{Store: store, MaxGrantRate: -1})
	s.wantToken(t, s.post(appForm))
	var group sync.WaitGroup
	stop := make(chan struct{})
	group.Go(func() {
		defer close(stop)
		for n := range 300 {
			kind := []registry.Change{registry.CutOff("app"), {Kind: registry.AllCutOff}, {Kind: registry.SecretCutOff, ClientID: "app", SecretID: appStored.ID}}[n%3]
			if _, err := store.Revoke(t.Context(), kind); err != nil {
				t.Error(err)
			}
			if err := s.issuer.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				known := s.issuer.Status().Sequence // evictions may be under way
				if err := s.issuer.Sync(t.Context()); err != nil {
					t.Error(err)
				}
				w := httptest.NewRecorder()
				s.issuer.Handler().ServeHTTP(w, newForm("/token", appForm))
				if w.Code != 200 {
					t.Error(w.Code, w.Body)
					return
				}
				claims, err := s.issuer.inspect(t.Context(), strings.Split(w.Body.String(), `"`)[3], 0)
				if err != nil {
					t.Error(err)
					return
				}
				jti, _, _ := claims.String("jti")
				if got := parseTokenID(jti).number; got < known {
					t.Errorf("the number %d is below %d", got, known)
				}
			}
		})
	}
	group.Wait()
}

// Lifetimes beyond that of cut-offs are refused.
func TestLongestLifetime(t *testing.T) {
	const longest = registry.MaxTokenLifetime
	for name, tt := range map[string]struct {
		config Config
		good   bool
	}{
		"longest":                 {Config{TokenTTL: longest}, true},
		"longest for one":         {Config{MaxTokenTTL: longest}, true},
		"longest, lag of a day":   {Config{TokenTTL: longest, MaxRevocationLag: 24 * time.Hour}, true},
		"longest, lag of 10 days": {Config{TokenTTL: longest, MaxRevocationLag: 10 * 24 * time.Hour}, false},
		"longest, lag of 2 days":  {Config{MaxTokenTTL: longest, MaxRevocationLag: 2 * 24 * time.Hour}, false},
		"lag of a year":           {Config{MaxRevocationLag: 365 * 24 * time.Hour}, false},
		"lag of a week":           {Config{MaxRevocationLag: 7 * 24 * time.Hour}, true},
		"too long":                {Config{TokenTTL: longest + time.Second}, false},
		"too long for one":        {Config{MaxTokenTTL: longest + time.Second}, false},
	} {
		tt.config.Issuer, tt.config.Keys, tt.config.Store = testIssuer, newKeyring(t, ecKey), newStore(t, app())
		i, err := New(tt.config)
		if (err == nil) != tt.good || err != nil && !strings.Contains(err.Error(), "MaxTokenTTL") {
			t.Errorf("%s: %v", name, err)
		}
		if i != nil {
			_ = i.Close()
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := app()
		c.TokenTTL = 10 * longest
		s := newService(t, Config{MaxTokenTTL: longest}, c)
		if g := s.wantToken(t, s.post(appForm)); time.Duration(g.claims.Expiry-g.claims.IssuedAt)*time.Second > longest {
			t.Errorf("a token lives %d s", g.claims.Expiry-g.claims.IssuedAt)
		}
	})
}
