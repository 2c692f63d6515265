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

// slowHashes checks imported secrets. One check costs tens of milliseconds of a
// core, so few run at once, few wait, in line by network, and a success is cached: a
// client pays once in a while, not per token, and a flood of forged secrets cannot
// take all cores, nor all places.
type slowHashes struct {
	queue   *fairQueue
	flights sharedCalls[bool]
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

// firstDummy is the dummy of a new issuer, made once in a process.
var firstDummy = sync.OnceValues(func() (registry.Secret, error) {
	return registry.HashSecret("not anybody's secret")
})

func newSlowHashes() (*slowHashes, error) {
	dummy, err := firstDummy()
	if err != nil {
		return nil, err
	}
	h := &slowHashes{
		queue:   newFairQueue(slowWorkers(), slowLine, slowWaiters),
		flights: sharedCalls[bool]{stay: true}, // a hash that has begun tells what the attempt was
		known:   newBounded[[]byte](maxVerified, verifiedFor),
		matches: (*registry.Secret).Matches,
	}
	h.dummy.Store(&dummy)
	return h, nil
}

// slowWorkers is how many hashes run at once: half of the cores are for the
// others.
func slowWorkers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// slowCheck is a secret to check.
type slowCheck struct {
	clientID    string
	stored      *registry.Secret // the imported one, nil for a client that has none or does not exist
	plain       string
	fingerprint string // of plain
	network     string // where the request comes from
	ahead       bool   // of those whose network is not trusted
}

// look compares a secret with the one that matched recently. known is whether there is
// such a one.
func (h *slowHashes) matchCached(stored *registry.Secret, fingerprint string) (match, known bool) {
	if stored == nil {
		return false, false
	}
	last, known := h.known.get(stored.Hash)
	if match = known && hmac.Equal(last, []byte(fingerprint)); match {
		h.known.set(stored.Hash, last) // for as long again: a client at work never queues
	}
	return match, known
}

// check compares a secret with the client's imported one. It costs the same if there
// is none, except that a secret which matched recently is not hashed again; it waits for
// its turn like others, so that it cannot be told before. Requests with the same secret
// share a check. compared is whether the secret was compared; the error is why not.
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
