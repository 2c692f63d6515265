package service

import (
	"context"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Part is a part of a program that says whether it can do its work: a keyring, a
// store, an issuer, a guard, a remote key set.
type Part interface {
	Ready(ctx context.Context) error
}

// Readiness serves /readyz. It answers 200 "ok" or 503 "unavailable" and nothing
// else: the causes name hosts and paths, so they go to the log, once for each
// change. Make one with [Ready].
type Readiness struct {
	parts    []Part
	stopping atomic.Bool

	mu   sync.Mutex
	last string // which parts were not ready, as "0101"
}

// readyTimeout is how long all parts together may take to answer.
const readyTimeout = 4 * time.Second

// Ready makes a Readiness that asks all parts.
func Ready(parts ...Part) *Readiness {
	return &Readiness{parts: parts, last: strings.Repeat("0", len(parts))}
}

// Stopping makes every later answer "unavailable", so that a load balancer sends
// no more requests.
func (r *Readiness) Stopping() { r.stopping.Store(true) }

// ServeHTTP answers whether every part is ready.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	answer := `{"status":"ok"}`
	if r.stopping.Load() || !r.ready(req.Context()) {
		w.WriteHeader(http.StatusServiceUnavailable)
		answer = `{"status":"unavailable"}`
	}
	_, _ = io.WriteString(w, answer+"\n") // a caller that left misses nothing
}

// ready asks the parts all at once, and logs what has changed since the last time.
func (r *Readiness) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	failures := make([]error, len(r.parts))
	var asked sync.WaitGroup
	for i, p := range r.parts {
		asked.Go(func() { failures[i] = p.Ready(ctx) })
	}
	asked.Wait()

	states := make([]byte, len(failures))
	for i, err := range failures {
		states[i] = '0'
		if err != nil {
			states[i] = '1'
		}
	}
	now := string(states)
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := !strings.Contains(now, "1")
	if now == r.last {
		return ok
	}
	r.last = now
	for _, err := range failures {
		if err != nil {
			log.Print("not ready: ", err)
		}
	}
	if ok {
		log.Print("ready again")
	}
	return ok
}
