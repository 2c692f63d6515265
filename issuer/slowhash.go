package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"golang.org/x/sync/semaphore"
)

// slowHashes checks imported secrets. One check costs tens of milliseconds of a
// core, so few run at once, few wait, and a success is cached: a client pays once
// in a while, not per token, and a flood of forged secrets cannot take all cores.
type slowHashes struct {
	running *semaphore.Weighted
	waiting *semaphore.Weighted // those that run among them
	key     []byte              // for the fingerprints in known; never leaves the process
	known   *bounded[[]byte]    // hash, which its salt makes one client's → fingerprint of the secret that matched
	matches func(stored *registry.Secret, plain string) bool

	// dummy is what the secret of an unknown client is compared with, the result
	// ignored: the imported hash last seen, so that where all of them are of one
	// cost, as they mostly are, an unknown client costs the same.
	dummy atomic.Pointer[registry.Secret]
}

const (
	slowWaiters = 64
	slowTimeout = 5 * time.Second
	verifiedFor = 5 * time.Minute
	maxVerified = 10_000
)

var errSlowBusy = errors.New("issuer: too many secrets are being checked")

func newSlowHashes() (*slowHashes, error) {
	dummy, err := registry.HashSecret("not anybody's secret")
	if err != nil {
		return nil, err
	}
	h := &slowHashes{
		running: semaphore.NewWeighted(slowWorkers()),
		waiting: semaphore.NewWeighted(slowWaiters),
		key:     make([]byte, 32),
		known:   newBounded[[]byte](maxVerified, verifiedFor),
		matches: (*registry.Secret).Matches,
	}
	h.dummy.Store(&dummy)
	_, _ = rand.Read(h.key) // never fails (crypto/rand)
	return h, nil
}

// slowWorkers is how many hashes run at once: half of the cores are for the
// others.
func slowWorkers() int64 { return int64(max(1, runtime.GOMAXPROCS(0)/2)) }

// check compares a secret with the client's imported one, nil for a client that
// has none or does not exist, which costs the same. The error means that it
// could not be checked now.
func (h *slowHashes) check(ctx context.Context, stored *registry.Secret, plain string) (bool, error) {
	if stored == nil {
		return false, h.gate(ctx, func() { h.matches(h.dummy.Load(), plain) })
	}
	h.dummy.Store(stored)
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(plain))
	fingerprint := mac.Sum(nil)
	if h.cached(stored.Hash, fingerprint) {
		h.known.set(stored.Hash, fingerprint) // for as long again: a client at work never queues
		return true, nil
	}
	var match bool
	err := h.gate(ctx, func() {
		// Another request with this secret may have been ahead in the queue.
		if match = h.cached(stored.Hash, fingerprint); match {
			return
		}
		if match = h.matches(stored, plain); match {
			h.known.set(stored.Hash, fingerprint)
		}
	})
	return match && err == nil, err
}

func (h *slowHashes) cached(hash string, fingerprint []byte) bool {
	known, ok := h.known.get(hash)
	return ok && hmac.Equal(known, fingerprint)
}

// gate runs f when it is its turn.
func (h *slowHashes) gate(ctx context.Context, f func()) error {
	if !h.waiting.TryAcquire(1) {
		return errSlowBusy
	}
	defer h.waiting.Release(1)
	ctx, cancel := context.WithTimeoutCause(ctx, slowTimeout, errSlowBusy)
	defer cancel()
	if h.running.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	defer h.running.Release(1)
	f()
	return nil
}
