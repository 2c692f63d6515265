package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
)

const forgedKeys = 300

// fetches counts how often each guard fetches the keys when tokens name unknown
// keys.
func fetches(ctx context.Context, b *bench) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, err := newWorld("ES256")
	if err != nil {
		return err
	}
	defer w.Close()
	good, err := w.credentials(1)
	if err != nil {
		return err
	}
	t := &table{head: []string{"", fmt.Sprintf("fetches for %d forged kids, beyond the first", forgedKeys)}}
	ours, err := countFetches(ctx, w, good[0], func(_ context.Context, w *world, url string) (echo.MiddlewareFunc, error) {
		remote := jwks.NewRemote(url, jwks.RemoteConfig{})
		context.AfterFunc(ctx, func() { _ = remote.Close() }) // it has nothing to save
		return m2mGuard(w.iss, remote, 0)
	})
	if err != nil {
		return err
	}
	t.add(m2m+" with `jwks.NewRemote`", strconv.Itoa(ours))
	for _, p := range peers {
		if p.name == jwx {
			t.add(p.name, absent+" (is given its keys here)")
			continue
		}
		n, err := countFetches(ctx, w, good[0], p.guard)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		t.add(p.name, strconv.Itoa(n))
	}
	b.heading("Key fetches", "A token with an unknown `kid` may mean a new key, or an attack that makes every forgery a request to the issuer.")
	t.write(b.out)
	b.note("auth0's provider never looks again for a kid it does not know: a new key is unknown until its time to live is over.")
	b.found("fetches", ours <= 1, "%d", ours)
	return nil
}

func countFetches(ctx context.Context, w *world, good string, build func(context.Context, *world, string) (echo.MiddlewareFunc, error)) (int, error) {
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		count.Add(1)
		w.keys.ServeHTTP(rw, r)
	}))
	defer server.Close()
	middleware, err := build(ctx, w, server.URL)
	if err != nil {
		return 0, err
	}
	c, err := newCaller(newRoute(middleware))
	if err != nil {
		return 0, err
	}
	if status := c.send(good); status != http.StatusOK {
		return 0, fmt.Errorf("a good token: status %d", status)
	}
	first := count.Load()
	for i := range forgedKeys {
		if status := c.send(unknownKey(w.alg, good, "forged-"+strconv.Itoa(i))); status != http.StatusUnauthorized {
			return 0, fmt.Errorf("a forged kid: status %d", status)
		}
	}
	if status := c.send(good); status != http.StatusOK {
		return 0, errors.New("a good token is refused after the forged ones")
	}
	return int(count.Load() - first), nil
}
