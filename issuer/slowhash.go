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
)

// slowHashes checks imported secrets. One check costs tens of milliseconds of a
// core, so few run at once, few wait, and a success is remembered: a client
// pays once in a while, not per token, and a crowd of forged ones cannot take
// all cores.
type slowHashes struct {
	running chan struct{}
	waiting chan struct{}
	key     []byte           // for the fingerprints in known; never leaves the process
	known   *bounded[[]byte] // hash, which its salt makes one client's → fingerprint of the secret that matched

	// dummy is what the secret of an unknown client is compared with, the result
	// ignored: the imported hash last seen, so that where all of them are of one
	// cost, as they mostly are, an unknown client costs the same.
	dummy atomic.Pointer[registry.Secret]
}

const (
	slowWaiters  = 64
	slowPatience = 5 * time.Second
	verifiedFor  = 5 * time.Minute
	maxVerified  = 10_000
)

var errSlowBusy = errors.New("issuer: too many secrets are being checked")

func newSlowHashes() (*slowHashes, error) {
	dummy, err := registry.HashSecret("not anybody's secret")
	if err != nil {
		return nil, err
	}
	h := &slowHashes{
		running: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		waiting: make(chan struct{}, slowWaiters),
		key:     make([]byte, 32),
		known:   newBounded[[]byte](maxVerified, verifiedFor),
	}
	h.dummy.Store(&dummy)
	_, _ = rand.Read(h.key) // never fails (crypto/rand)
	return h, nil
}

// check compares a secret with the client's imported one, nil for a client that
// has none or does not exist, which costs the same. The error means that it
// could not be checked now.
func (h *slowHashes) check(ctx context.Context, stored *registry.Secret, plain string) (bool, error) {
	if stored == nil {
		return false, h.gate(ctx, func() { h.dummy.Load().Matches(plain) })
	}
	h.dummy.Store(stored)
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(plain))
	fingerprint := mac.Sum(nil)
	if h.remembered(stored.Hash, fingerprint) {
		h.known.set(stored.Hash, fingerprint) // for as long again: a client at work never queues
		return true, nil
	}
	var match bool
	err := h.gate(ctx, func() {
		// Another request with this secret may have been ahead in the queue.
		if match = h.remembered(stored.Hash, fingerprint); match {
			return
		}
		if match = stored.Matches(plain); match {
			h.known.set(stored.Hash, fingerprint)
		}
	})
	return match && err == nil, err
}

func (h *slowHashes) remembered(hash string, fingerprint []byte) bool {
	known, ok := h.known.get(hash)
	return ok && hmac.Equal(known, fingerprint)
}

// gate runs f when one of the places is free.
func (h *slowHashes) gate(ctx context.Context, f func()) error {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return errSlowBusy
	}
	patience := time.NewTimer(slowPatience)
	defer patience.Stop()
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
		f()
		return nil
	case <-patience.C:
		return errSlowBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}
