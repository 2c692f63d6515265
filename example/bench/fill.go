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

// fill sends n tokens through the route, each signed for the purpose and sent
// twice, on all cores, and keeps some of them, evenly spread. lives says how long
// the n-th token does.
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
				for range 2 { // what comes once is not remembered
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

// anHour is a life long enough for the whole program.
func anHour(int) time.Duration { return time.Hour }

// liveHeap is what is in use once all garbage has gone.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
