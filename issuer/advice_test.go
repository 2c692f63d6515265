package issuer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// lone is a store that cannot list its clients.
type lone struct{ registry.Store }

// A fault of the config is reported once: soon after New, or with a store that cannot list
// its clients, when a client with the fault is read.
func TestAdvice(t *testing.T) {
	elsewhere, slow, second := app(), chosen(t, "slow"), app()
	elsewhere.ID, elsewhere.Audiences, elsewhere.TokenTTL = "elsewhere", []string{billingAPI}, 2*time.Hour
	second.ID, second.Audiences = "second", []string{billingAPI}
	for name, c := range map[string]struct {
		config Config
		wants  []string
	}{
		"fits":      {Config{ImportedSecrets: true, MaxTokenTTL: 3 * time.Hour}, nil},
		"resources": {Config{ImportedSecrets: true, MaxTokenTTL: 3 * time.Hour, Resources: map[string][]string{ordersAPI: {"orders:read"}}}, []string{billingAPI}},
		"none":      {Config{ImportedSecrets: true, MaxTokenTTL: 3 * time.Hour, Resources: map[string][]string{}}, []string{ordersAPI, billingAPI}},
		"imported":  {Config{MaxTokenTTL: 3 * time.Hour}, []string{"Config.ImportedSecrets"}},
		"lifetime":  {Config{ImportedSecrets: true}, []string{"Client.TokenTTL"}},
		"all":       {Config{Resources: map[string][]string{ordersAPI: nil}}, []string{billingAPI, "Config.ImportedSecrets", "Client.TokenTTL"}},
	} {
		for _, lists := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", lists: ", lists), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					clients := []registry.Client{app(), elsewhere, slow, second}
					c := c
					c.config.Store = newStore(t, clients...)
					if !lists {
						c.config.Store = lone{c.config.Store}
					}
					s := newService(t, c.config)
					synctest.Wait()
					found := s.of(event.OpConfig)
					if !lists && len(found) > 0 {
						t.Errorf("before a client was read: %+v", found)
					}
					for range 3 {
						for _, id := range []string{"app", "elsewhere", "slow", "second"} {
							s.post(secretOf(id))
						}
						time.Sleep(time.Minute)
					}
					if later := s.of(event.OpConfig); lists && len(later) > 0 {
						t.Errorf("reported again: %+v", later)
					} else {
						found = append(found, later...)
					}
					if len(found) != len(c.wants) {
						t.Fatalf("%d events, want %d: %+v", len(found), len(c.wants), found)
					}
					for _, want := range c.wants {
						reported := false
						for _, e := range found {
							reported = reported || strings.Contains(e.Err.Error(), want) && e.Reason == event.Misconfigured && e.Target != ""
						}
						if !reported {
							t.Errorf("%q is not reported: %+v", want, found)
						}
					}
				})
			})
		}
	}
}

// unlisted is a store whose clients cannot be listed at first.
type unlisted struct {
	*watched
	fails int
}

func (u *unlisted) List(ctx context.Context, q registry.Query) ([]registry.Client, error) {
	if u.fails--; u.fails >= 0 {
		return nil, errDown
	}
	return u.watched.List(ctx, q)
}

// A store that cannot list its clients at first is asked again once the issuer is used.
func TestAdviceLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{Store: &unlisted{&watched{Memory: newStore(t, chosen(t, "slow"))}, 3}})
		time.Sleep(time.Hour)
		if got := s.of(event.OpConfig); len(got) > 0 {
			t.Errorf("%+v", got)
		}
		wantRevoked(t, s.issuer, "a", "app", time.Now(), false)
		time.Sleep(time.Minute)
		s.wantOne(t, event.OpConfig, event.Misconfigured)
	})
}

// The parameter audience, of other servers, is ignored, and one event reports it.
func TestAudienceParameter(t *testing.T) {
	s := newService(t, Config{})
	for range 3 {
		g := s.wantToken(t, s.post(appForm+"&audience="+billingAPI))
		if string(g.claims.Audience) != `"`+ordersAPI+`"` {
			t.Errorf("aud %s", g.claims.Audience)
		}
	}
	if e := s.wantOne(t, event.OpConfig, event.Misconfigured); !strings.Contains(e.Err.Error(), "resource") || e.Target != "app" {
		t.Errorf("%+v", e)
	}
}

// Without Observe and Quiet, changes of state in the background go to slog, once each.
// Requests do not.
func TestQuiet(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	for _, quiet := range []bool{false, true} {
		var log bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		synctest.Test(t, func(t *testing.T) {
			store := &watched{Memory: newStore(t, app())}
			i, err := New(Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: store, Quiet: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			wantRevoked(t, i, "a", "app", time.Now(), false)
			if err := i.RevokeClient(t.Context(), "app"); err != nil {
				t.Fatal(err)
			}
			store.does(at("Changes", down))
			time.Sleep(5 * time.Minute)
			store.does(nil)
			time.Sleep(time.Minute)
		})
		warned, told := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "msg=feed.follow")
		if quiet && log.Len() > 0 || !quiet && (warned != 1 || told != 2 || strings.Count(log.String(), "\n") != 2) {
			t.Errorf("quiet %v: %s", quiet, log.String())
		}
	}
}

// Uses that cannot be recorded are kept, and written once the store is back. One event
// reports it.
func TestRecordedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &used{watched: &watched{Memory: newStore(t, app())}}
		store.does(at("SecretsUsed", down))
		s := newService(t, Config{Store: store})
		used := time.Now()
		s.wantToken(t, s.post(appForm))
		time.Sleep(10 * time.Minute)
		s.wantOne(t, event.OpRecord, event.StoreUnavailable)
		if got := s.issuer.Status(); !errors.Is(got.RecordError, errDown) || time.Since(got.RecordErrorSince) < 9*time.Minute {
			t.Errorf("%+v", got)
		}
		if err := s.issuer.Ready(t.Context()); err != nil {
			t.Errorf("not ready, although tokens do not depend on it: %v", err)
		}
		store.taken()
		store.does(nil)
		time.Sleep(time.Minute)
		if got := store.taken(); len(got) != 1 || !got[0].At.Equal(used) {
			t.Errorf("%v", got)
		}
		s.wantOne(t, event.OpRecord, "")
		if got := s.issuer.Status(); got.RecordError != nil || !got.RecordErrorSince.IsZero() {
			t.Errorf("%+v", got)
		}
	})
}

// unrecorded is a store that cannot record addresses for a while.
type unrecorded struct {
	*watched
	down atomic.Bool
	mu   sync.Mutex
	kept []registry.ClientNetwork
}

func (f *unrecorded) Succeeded(_ context.Context, networks []registry.ClientNetwork) error {
	if f.down.Load() {
		return errDown
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, networks...)
	return nil
}

// Addresses at which clients succeed are kept in the same way.
func TestNetworksRecordedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &unrecorded{watched: &watched{Memory: newStore(t, chosen(t, "app"))}}
		store.down.Store(true)
		s := newService(t, Config{Store: store, ImportedSecrets: true})
		s.wantToken(t, s.post("grant_type=client_credentials", "Authorization", basic("app", "secret456")))
		time.Sleep(10 * time.Minute)
		s.wantOne(t, event.OpRecord, event.StoreUnavailable)
		store.down.Store(false)
		time.Sleep(time.Minute)
		store.mu.Lock()
		defer store.mu.Unlock()
		if len(store.kept) != 1 || store.kept[0].ClientID != "app" {
			t.Errorf("%+v", store.kept)
		}
		s.wantOne(t, event.OpRecord, "")
	})
}
