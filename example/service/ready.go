package service

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// Part is a part of a program that says whether it can do its work: a keyring, a
// store, an issuer, a guard, a remote key set.
type Part interface {
	Ready(ctx context.Context) error
}

// Readiness serves /readyz. It answers 503 "unavailable" while a part cannot do its
// work (jwks.ErrUnavailable), and otherwise 200 "ok". Other trouble, such as a key
// store that cannot be written, is only logged: all replicas have it, so taking them
// out of service would cause an outage. Causes name hosts and paths, so they are only
// logged too, once for each change. Make one with [Ready].
type Readiness struct {
	parts    []Part
	stopping atomic.Bool

	mu   sync.Mutex
	last string // a digit for each part: 0 is well, 1 is trouble, 2 is unavailable
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

// ready asks the parts all at once, logs what has changed since the last time, and
// reports whether all can do their work.
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
		switch {
		case err == nil:
			states[i] = '0'
		case errors.Is(err, jwks.ErrUnavailable):
			states[i] = '2'
		default:
			states[i] = '1'
		}
	}
	now := string(states)
	r.mu.Lock()
	defer r.mu.Unlock()
	serves := !strings.Contains(now, "2")
	if now == r.last {
		return serves
	}
	r.last = now
	told := ""
	for i, err := range failures {
		if err == nil || strings.Contains(told, cause(err)) {
			continue // an issuer and a guard ask the same keyring
		}
		told += err.Error() + "\n"
		if states[i] == '2' {
			log.Print("not ready: ", err)
		} else {
			log.Print("trouble: ", err)
		}
	}
	if strings.Trim(now, "0") == "" {
		log.Print("all is well again")
	}
	return serves
}

// cause returns the part of a guard's error that the keyring's or the issuer's own
// error has too.
func cause(err error) string {
	text := err.Error()
	for _, prefix := range []string{"middleware: keys: ", "middleware: revocations: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
