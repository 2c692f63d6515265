package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// churn is all that writes: a middleware that gets new tokens, a keyring that
// rotates, a key set that changes and is fetched. It runs in one goroutine, so it
// leaves the reader a core.
type churn struct {
	*world
	route  http.Handler
	caller *caller
	remote *jwks.Remote
	server *httptest.Server

	admitted, rotated int
	fetched           atomic.Int64
}

// newChurn fills its cache, so that every new token evicts another.
func newChurn(w *world, verdicts int) (*churn, error) {
	c := &churn{world: w}
	var sets [2]*jwks.Keyring
	for i := range sets { // the reader's key stays, the other one changes
		other, err := newSigner("ES256")
		if err != nil {
			return nil, err
		}
		if sets[i], err = jwks.NewKeyring(w.signer, other); err != nil {
			return nil, err
		}
	}
	c.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		sets[c.fetched.Add(1)%2].ServeHTTP(rw, r)
	}))
	c.remote = jwks.NewRemote(c.server.URL, jwks.RemoteConfig{Cooldown: time.Millisecond})
	middleware, err := m2mGuard(w.iss, c.remote, verdicts)
	if err == nil {
		c.route = newRoute(middleware)
		c.caller, err = newCaller(c.route)
	}
	if err == nil {
		// Expiring one after the other, from the beginning of the test to well past
		// its end, so that there is always something to sweep.
		_, err = w.fill(c.route, verdicts+verdicts/10, 1, func(i int) time.Duration {
			return time.Minute + time.Duration(i%240)*time.Second
		})
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *churn) Close() {
	_ = c.remote.Close() // it has nothing to save
	c.server.Close()
}

// start churns until stop is called, which waits for it to end.
func (c *churn) start() (stop func() error) {
	stopping, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stopping:
				done <- nil
				return
			default:
			}
			if err := c.step(); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() error {
		close(stopping)
		return <-done
	}
}

func (c *churn) step() error {
	c.admitted++
	credential, err := c.credential(-c.admitted, time.Hour)
	if err != nil {
		return err
	}
	for range 2 { // a token is cached at its second use
		if status := c.caller.send(credential); status != http.StatusOK {
			return fmt.Errorf("a new token: status %d", status)
		}
	}
	if c.admitted%32 == 0 { // an unknown key: the set is fetched
		if status := c.caller.send(unknownKey(c.alg, credential, strconv.Itoa(c.admitted))); status != http.StatusUnauthorized {
			return fmt.Errorf("an unknown key: status %d", status)
		}
	}
	if c.admitted%256 == 0 {
		c.rotated++
		return rotate(context.Background())
	}
	return nil
}

// rotate drops the signing key of a new keyring: one that was just rotated has no
// next key that may sign.
func rotate(ctx context.Context) error {
	keys, err := jwks.Open(ctx, new(blob), jwks.Policy{})
	if err != nil {
		return err
	}
	return errors.Join(keys.Rotate(ctx), keys.Close())
}

// blob is a jwks.KeyStore in memory.
type blob struct{ atomic.Pointer[[]byte] }

func (b *blob) Load(context.Context) ([]byte, error) {
	if kept := b.Pointer.Load(); kept != nil {
		return *kept, nil
	}
	return nil, nil
}

func (b *blob) Save(_ context.Context, old, changed []byte) (bool, error) {
	kept := b.Pointer.Load()
	if (kept == nil) != (old == nil) || kept != nil && !slices.Equal(*kept, old) {
		return false, nil
	}
	return b.CompareAndSwap(kept, &changed), nil
}
