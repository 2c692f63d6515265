package issuer

import (
	"context"
	"crypto/hmac"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// slowHashes checks imported secrets. One check takes tens of milliseconds of a core. So
// few run at once, few wait, in lines by network, and a success is cached: an active
// client pays once per verifiedFor, not per token, and a flood of forged secrets cannot
// take all cores, nor the whole queue.
type slowHashes struct {
	queue   *fairQueue
	flights sharedCalls[bool]
	known   *bounded[[]byte] // stored hash, unique to a client by its salt → fingerprint of the secret that matched
	matches func(stored *registry.Secret, plain string) bool

	// dummy is the hash that the secret of an unknown id is compared with; the result is
	// ignored. It is the imported hash that was seen last. If all imported hashes have one
	// cost, as is usual, an unknown id costs the same as a client.
	dummy atomic.Pointer[registry.Secret]
}

const (
	slowWaiters = 64
	slowLine    = 2 // waiters of one network
	slowTimeout = 5 * time.Second
	verifiedFor = 5 * time.Minute
	maxVerified = 10_000
)

var errSlowBusy = errors.New("issuer: too many secrets are being checked")

// firstDummy returns the dummy of a new issuer. It is made once per process.
var firstDummy = sync.OnceValues(func() (registry.Secret, error) {
	return registry.HashSecret("the dummy secret")
})

func newSlowHashes() (*slowHashes, error) {
	dummy, err := firstDummy()
	if err != nil {
		return nil, err
	}
	h := &slowHashes{
		queue:   newFairQueue(slowWorkers(), slowLine, slowWaiters),
		flights: sharedCalls[bool]{stay: true}, // a hash that has begun decides the attempt
		known:   newBounded[[]byte](maxVerified, verifiedFor),
		matches: (*registry.Secret).Matches,
	}
	h.dummy.Store(&dummy)
	return h, nil
}

// slowWorkers returns how many hashes run at once. Half of the cores stay free.
func slowWorkers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// slowCheck is a secret to check.
type slowCheck struct {
	clientID    string
	stored      *registry.Secret // the imported one; nil for an unknown id or a client without one
	plain       string
	fingerprint string // of plain
	network     string // of the request
	ahead       bool   // of callers whose network is not trusted
}

// matchCached compares a secret with the cached fingerprint of the one that matched last.
// cached is whether there is a fingerprint.
func (h *slowHashes) matchCached(stored *registry.Secret, fingerprint string) (match, cached bool) {
	if stored == nil {
		return false, false
	}
	last, cached := h.known.get(stored.Hash)
	if match = cached && hmac.Equal(last, []byte(fingerprint)); match {
		h.known.set(stored.Hash, last) // renew the TTL: an active client never waits
	}
	return match, cached
}

// check compares a secret with the client's imported one. If there is none, it costs the
// same. A cached secret is not hashed again, but it waits for its turn like others, so
// that the answer time does not reveal it. Concurrent requests with the same secret share
// a check. compared is whether the secret was compared; if not, err says why.
func (h *slowHashes) check(ctx context.Context, c slowCheck) (match, compared bool, err error) {
	var hash string
	if c.stored != nil {
		hash = c.stored.Hash
		h.dummy.Store(c.stored)
	}
	key := strconv.FormatBool(c.ahead) + c.clientID + "\x00" + hash + "\x00" + c.fingerprint
	return h.flights.do(ctx, key, func(ctx context.Context, begin func() bool) (match bool, err error) {
		err = h.gate(ctx, c.network, c.ahead, func() {
			if begin() {
				match = h.compare(c)
			}
		})
		return match, err
	})
}

func (h *slowHashes) compare(c slowCheck) bool {
	if c.stored == nil {
		h.matches(h.dummy.Load(), c.plain)
		return false
	}
	if match, _ := h.matchCached(c.stored, c.fingerprint); match {
		return true
	}
	if !h.matches(c.stored, c.plain) {
		return false
	}
	h.known.set(c.stored.Hash, []byte(c.fingerprint))
	return true
}

// gate runs f when the caller has a slot of the queue.
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
