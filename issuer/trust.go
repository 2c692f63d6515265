package issuer

import (
	"net/netip"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// trust knows the addresses at which clients have succeeded with a chosen secret, so
// that an attacker elsewhere cannot lock them out. It trusts an address in full, and
// the other addresses of its network a little: neighbours in a cloud share networks,
// seldom addresses.
//
// It knows the same of generated secrets, for one purpose only: after a restart, the
// client's record may be read although its network is refused.
//
// A store that is a registry.NetworkRecorder keeps the addresses. A goroutine of its
// own writes them, so clients do not wait for the write. Everything is bounded per
// client, so that no client takes the capacity of another.
type trust struct {
	recorder   registry.NetworkRecorder // nil: the store does not keep addresses
	clients    *bounded[*trustedClient]
	reads      sharedCalls[struct{}]
	queue      *fairQueue // of the store
	perAddress allowance  // failures at one address at which the client has succeeded
	spare      allowance  // failures at all other addresses of the client's networks

	recorded func(error) // is told the result of each write

	mu    sync.Mutex
	noted map[string]map[netip.Addr]time.Time // client → address → time of the success
	count int                                 // of noted
	wake  chan struct{}
}

const (
	trustFor        = registry.NetworkLifetime
	trustedFailures = 10_000 // of one address
	spareShare      = 6      // the spare failures are this part of FailedAttempts
	spareRefill     = 30 * time.Second
	readEvery       = 10 * time.Second
	recordDelay     = time.Second // collects more for one write
	recordRetry     = 10 * time.Second
)

func newTrust(store registry.Store, queue *fairQueue, attempts int) *trust {
	recorder, _ := store.(registry.NetworkRecorder)
	return &trust{
		recorder:   recorder,
		queue:      queue,
		clients:    newBounded[*trustedClient](maxBuckets, trustFor),
		perAddress: allowance{trustedFailures, attemptEvery},
		spare:      allowance{max(1, attempts/spareShare), spareRefill},
		recorded:   func(error) {},
		noted:      map[string]map[netip.Addr]time.Time{},
		wake:       make(chan struct{}, 1),
	}
}

// client calls f with what is known of the client, locked. It does not call f for an
// unknown client.
func (t *trust) client(id string, f func(c *trustedClient, now time.Time)) {
	if c, ok := t.clients.get(id); ok {
		c.locked(f)
	}
}

func (c *trustedClient) locked(f func(c *trustedClient, now time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c, time.Now())
}

// has reports whether the client has succeeded from the network with a chosen secret.
func (t *trust) has(a attempt) bool { return t.knows(a, true) }

// mayRead reports whether the client has succeeded from the network with a secret of
// either kind. Its record may then be read although the network is refused.
func (t *trust) mayRead(a attempt) bool { return t.knows(a, false) }

func (t *trust) knows(a attempt, chosen bool) (knows bool) {
	if host, ok := ipOf(a.address); ok {
		t.client(a.clientID, func(c *trustedClient, now time.Time) { knows = c.knows(prefixOf(host), chosen, now) })
	}
	return knows
}

// allowed is one reserved failure of those that a trusted network may have.
type allowed struct {
	trust   *trust
	client  *trustedClient // nil: nothing is reserved
	address netip.Addr     // invalid: a spare failure
}

// reserve reserves a failure for an attempt from a trusted network. ok is false when
// none is left. The result must be settled once.
func (t *trust) reserve(a attempt) (reserved allowed, ok bool) {
	host, _ := ipOf(a.address)
	t.client(a.clientID, func(c *trustedClient, now time.Time) {
		if at := c.at(host); at != nil && at.chosen && at.failures.wait(t.perAddress, now) <= 0 {
			at.failures.reserved++
			reserved, ok = allowed{t, c, host}, true
		} else if c.spare.wait(t.spare, now) <= 0 {
			c.spare.reserved++
			reserved, ok = allowed{t, c, netip.Addr{}}, true
		}
	})
	return reserved, ok
}

// settle ends the attempt: the failure is used up, or given back.
func (r allowed) settle(used bool) {
	if r.client == nil {
		return
	}
	r.client.locked(func(c *trustedClient, now time.Time) {
		if !r.address.IsValid() {
			c.spare.settle(r.trust.spare, used, now)
		} else if at := c.at(r.address); at != nil && at.failures.reserved > 0 {
			at.failures.settle(r.trust.perAddress, used, now)
		}
	})
}

// succeeded notes that the client has succeeded at the address. Only a chosen secret
// makes it trusted there.
func (t *trust) succeeded(a attempt, chosen bool) {
	host, ok := ipOf(a.address)
	if !ok {
		return
	}
	now := time.Now()
	if c, ok := t.clients.get(a.clientID); ok && c.fresh(host, chosen, now) {
		return
	}
	t.clients.getOrSet(a.clientID, newTrustedClient).locked(func(c *trustedClient, now time.Time) {
		if at := c.add(host, chosen, now); at != nil && t.recorder != nil && c.note(at, now) {
			t.note(a.clientID, host, now)
		}
	})
}

func (t *trust) sweep() { t.clients.sweep() }
