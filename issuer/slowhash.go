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
// core, so few run at once, few wait, in line by network, and a success is cached: a
// client pays once in a while, not per token, and a flood of forged secrets cannot
// take all cores, nor all places.
type slowHashes struct {
	queue   *fairQueue
	flights sharedCalls[bool]
	key     []byte           // for the fingerprints in known; never leaves the process
	known   *bounded[[]byte] // hash, which its salt makes one client's → fingerprint of the secret that matched
	matches func(stored *registry.Secret, plain string) bool

	// dummy is what the secret of an unknown client is compared with, the result
	// ignored: the imported hash last seen, so that where all of them are of one
	// cost, as they mostly are, an unknown client costs the same.
	dummy atomic.Pointer[registry.Secret]
}

const (
	slowWaiters = 64
	slowLine    = 2 // of one network
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
		queue:   newFairQueue(slowWorkers(), slowLine, slowWaiters),
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
func slowWorkers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// slowCheck is a secret to check.
type slowCheck struct {
	clientID string
	stored   *registry.Secret // the imported one, nil for a client that has none or does not exist
	plain    string
	network  string // where the request comes from
	how      checkHow
}

// check compares a secret with the client's imported one. It costs the same if there
// is none. Requests with the same secret share a check. The error means that it could
// not be checked now.
func (h *slowHashes) check(ctx context.Context, c slowCheck) (bool, error) {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(c.plain))
	fingerprint := mac.Sum(nil)
	var hash string
	if c.stored != nil {
		hash = c.stored.Hash
		h.dummy.Store(c.stored)
		known, ok := h.known.get(hash)
		switch {
		case ok && hmac.Equal(known, fingerprint):
			h.known.set(hash, fingerprint) // for as long again: a client at work never queues
			return true, nil
		case ok && c.how.quick:
			return false, nil
		}
	}
	return h.flights.do(ctx, c.clientID+"\x00"+hash+"\x00"+string(fingerprint), func(ctx context.Context) (match bool, err error) {
		err = h.gate(ctx, c.network, c.how.ahead, func() {
			if c.stored == nil {
				h.matches(h.dummy.Load(), c.plain)
				return
			}
			if match = h.matches(c.stored, c.plain); match {
				h.known.set(hash, fingerprint)
			}
		})
		return match, err
	})
}

// gate runs f when it is its turn.
func (h *slowHashes) gate(ctx context.Context, network string, ahead bool, f func()) error {
	ctx, cancel := context.WithTimeoutCause(ctx, slowTimeout, errSlowBusy)
	defer cancel()
	switch err := h.queue.acquire(ctx, network, ahead); {
	case errors.Is(err, errQueueFull):
		return errSlowBusy
	case err != nil:
		return err
	}
	defer h.queue.release()
	f()
	return nil
}
