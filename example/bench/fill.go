package main

import (
	"fmt"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// manyClients share a big number of tokens, since one client alone may take no
// more than its share of the cache.
const manyClients = 4096

// fill sends n new tokens through the route, each twice, on all cores. It returns
// some of them, evenly spread. lives returns the lifetime of the n-th token.
func (w *world) fill(route http.Handler, n, keep int, lives func(i int) time.Duration) (kept []string, err error) {
	workers := runtime.GOMAXPROCS(0)
	parts := make([][]string, workers)
	var group errgroup.Group
	for worker := range workers {
		group.Go(func() error {
			c, err := newCaller(route)
			if err != nil {
				return err
			}
			for i := worker; i < n; i += workers {
				credential, err := w.credential(i, lives(i))
				if err != nil {
					return err
				}
				for range 2 { // a token is cached at its second use
					if status := c.send(credential); status != http.StatusOK {
						return fmt.Errorf("token %d: status %d", i, status)
					}
				}
				if i/workers%max(1, n/keep) == 0 && len(parts[worker]) < keep/workers {
					parts[worker] = append(parts[worker], credential)
				}
			}
			return nil
		})
	}
	err = group.Wait()
	for _, part := range parts {
		kept = append(kept, part...)
	}
	return kept, err
}

func (w *world) credential(i int, life time.Duration) (string, error) {
	now := time.Now()
	c := claimsFor(i, manyClients, now)
	c.Expiry = now.Add(life).Unix()
	token, err := w.token(c)
	return bearerIs + token, err
}

// anHour is a lifetime that outlasts the program.
func anHour(int) time.Duration { return time.Hour }

// liveHeap returns the heap in use after a collection.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // frees what finalizers and pools released
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
