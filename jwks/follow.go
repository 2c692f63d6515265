package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

var (
	errZeroKeyring = fmt.Errorf("%w: a zero Keyring: make it with jwks.Open", ErrUnavailable)
	errClosed      = fmt.Errorf("%w: the keyring is closed", ErrUnavailable)
	errSilent      = errors.New("jwks: the key store does not answer")
)

// A request with an old snapshot waits this long for a read of the store: less after
// a read that failed.
const (
	longestCatchUp = 3 * time.Second
	briefCatchUp   = time.Second
)

// current returns the snapshot if it is within its lifetime. Otherwise it first waits
// for the poller to read the store. While the store works, the poller keeps the
// snapshot younger than Poll, and no request waits.
func (r *Keyring) current(ctx context.Context, lifetime lifetime) (*snapshot, error) {
	if r == nil || r.snapshot.Load() == nil {
		return nil, errZeroKeyring
	}
	if r.closed.Load() {
		return nil, errClosed
	}
	if r.startPolling() {
		lifetime = polled // Open may have been long ago
	}
	if s := r.snapshot.Load(); r.fresh(s, lifetime) {
		return s, nil
	}
	if err := r.catchUp(ctx, lifetime); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return r.snapshot.Load(), nil
}

// startPolling starts the poller at the first use, and reports whether it did.
func (r *Keyring) startPolling() (started bool) {
	if r.store == nil {
		return false
	}
	r.polling.Do(func() {
		started = true
		r.done.Go(r.poll)
	})
	return started
}

// poll reads the store twice in each Poll, so that one slow or failed read does not
// make the snapshot older than Poll.
func (r *Keyring) poll() {
	ticker := time.NewTicker(r.policy.Poll / 2)
	defer ticker.Stop()
	probing := semaphore.NewWeighted(1)
	for {
		select {
		case <-r.life.Done():
			return
		case <-ticker.C:
		case <-r.now:
		}
		// A failure shows in Ready, in Status, in events, and in answers once the
		// snapshot is too old.
		_ = r.update(r.life, r.plan)
		if r.health.signerFails() && probing.TryAcquire(1) {
			r.done.Go(func() {
				defer probing.Release(1)
				_ = r.probe(r.life) // likewise
			})
		}
	}
}

// pollNow makes the poller read the store and apply the timetable. It does not wait.
func (r *Keyring) pollNow() {
	select {
	case r.now <- struct{}{}:
	default:
	}
}

// catchUp waits until the poller has read the store for a request with an old
// snapshot. While the store fails, one request a second waits, and the others get the
// last error at once.
func (r *Keyring) catchUp(ctx context.Context, lifetime lifetime) error {
	began := time.Now()
	for {
		concluded, wait, err := r.reads.state()
		if r.fresh(r.snapshot.Load(), lifetime) {
			return nil
		}
		if wait -= time.Since(began); wait <= 0 {
			return cmp.Or(err, errSilent)
		}
		r.pollNow()
		select {
		case <-concluded:
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		case <-r.life.Done():
			return errClosed
		}
	}
}

// reads tells requests how the last read of the store ended. The zero value means
// that there was none.
type reads struct {
	mu        sync.Mutex
	underWay  bool
	err       error // of the last read
	failedAt  time.Time
	concluded chan struct{} // closed at the end of the next read
}

// state returns a channel that is closed at the end of the next read, how long a
// request should wait for that, and the error of the last read.
func (r *reads) state() (concluded <-chan struct{}, wait time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.concluded == nil {
		r.concluded = make(chan struct{})
	}
	switch {
	case r.err == nil:
		wait = longestCatchUp
	case !r.underWay && time.Since(r.failedAt) >= time.Second:
		wait = briefCatchUp
	}
	return r.concluded, wait, r.err
}

func (r *reads) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay = true
}

// end records the end of a read. A read that its caller gave up says nothing about
// the store.
func (r *reads) end(err error, givenUp bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay = false
	if !givenUp {
		r.err, r.failedAt = err, time.Now()
	}
	if r.concluded != nil {
		close(r.concluded)
		r.concluded = nil
	}
}
