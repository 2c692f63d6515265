//go:build rehearsal

package sqlstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// watchedQueries counts the queries for clients that run at once.
type watchedQueries struct {
	registry.Store
	running, most, all atomic.Int64
}

func (w *watchedQueries) Client(ctx context.Context, id string) (*registry.Client, error) {
	w.all.Add(1)
	now := w.running.Add(1)
	defer w.running.Add(-1)
	for most := w.most.Load(); now > most; most = w.most.Load() {
		if w.most.CompareAndSwap(most, now) {
			break
		}
	}
	return w.Store.Client(ctx, id)
}

// While 3000 connections send unknown ids, from one network or from many, clients that are
// not cached get tokens, and the issuer follows the feed.
func TestUnknownFlood(t *testing.T) {
	if os.Getenv("POSTGRES_URL") == "" {
		t.Skip("POSTGRES_URL is not set")
	}
	for name, networks := range map[string]int{"one network": 1, "many networks": 3000} {
		t.Run(name, func(t *testing.T) {
			store, err := postgres(t).connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := jwks.NewKeyring(private)
			if err != nil {
				t.Fatal(err)
			}
			watched := &watchedQueries{Store: store}
			iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: watched, MaxRevocationLag: 3 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer iss.Close()
			handler := iss.Handler()
			ask := func(address, id, secret string) int {
				form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
				r := httptest.NewRequest("POST", "/token", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.RemoteAddr = address
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w.Code
			}
			const clients = 100
			plain, secret := registry.GenerateSecret()
			prefix := rand.Text()
			for n := range clients {
				if _, err := store.Register(t.Context(), registry.Client{ID: fmt.Sprint(prefix, n), Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"}}); err != nil {
					t.Fatal(err)
				}
			}
			forged, _ := registry.GenerateSecret()
			ctx, stop := context.WithCancel(t.Context())
			var flood sync.WaitGroup
			var sent atomic.Int64
			for n := range 3000 {
				flood.Go(func() {
					address := fmt.Sprintf("203.%d.%d.9:1", n%networks>>8, n%networks&255)
					for ctx.Err() == nil {
						ask(address, rand.Text(), forged)
						sent.Add(1)
						time.Sleep(100 * time.Millisecond)
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			var slowest atomic.Int64
			var good sync.WaitGroup
			for n := range clients {
				good.Go(func() {
					begun := time.Now()
					for ask(fmt.Sprintf("198.51.%d.9:1", n), fmt.Sprint(prefix, n), plain) != 200 {
						if time.Since(begun) > 20*time.Second {
							t.Error("a client got no token in 20 s")
							return
						}
						time.Sleep(time.Second)
					}
					for took := int64(time.Since(begun)); ; {
						if most := slowest.Load(); took <= most || slowest.CompareAndSwap(most, took) {
							return
						}
					}
				})
			}
			good.Wait()
			for range 20 {
				if _, err := iss.Revoked(t.Context(), "jti", "app", time.Now()); err != nil {
					t.Error(err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			stop()
			flood.Wait()
			t.Logf("%d requests, %d queries, %d at once; the slowest of %d clients got its token after %v", sent.Load(), watched.all.Load(), watched.most.Load(), clients, time.Duration(slowest.Load()).Round(time.Millisecond))
			if watched.most.Load() > 8+2 { // refreshes of cached clients do not queue
				t.Errorf("%d queries at once", watched.most.Load())
			}
			if slowest.Load() > int64(10*time.Second) {
				t.Error("that is more than 10 s")
			}
		})
	}
}
