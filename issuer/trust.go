package issuer

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// trust knows from where clients have succeeded with a chosen secret, so that no
// guesser elsewhere can lock them out. It trusts an address in full, and the rest of
// its network a little: neighbours in a cloud share networks, seldom addresses.
//
// Of generated secrets it knows the same, for nothing but to let the client's record
// be read after a restart while its network is refused.
//
// What it learns is kept in a store that is a registry.NetworkRecorder, by a
// goroutine of its own: clients do not wait for the write. All is bounded for each
// client, so that none takes another's room.
type trust struct {
	recorder registry.NetworkRecorder // nil: the store does not keep it
	clients  *bounded[*trustedClient]
	reads    sharedCalls[struct{}]
	queue    *fairQueue // before the store
	address  allowance  // of the failures at an address at which the client has succeeded
	spare    allowance  // and of those at all other addresses of its networks

	recorded func(error) // told how each write went

	mu    sync.Mutex
	noted map[string]map[netip.Addr]time.Time // client → address → when it succeeded
	count int                                 // of noted
	wake  chan struct{}
}

const (
	trustFor        = registry.NetworkLifetime
	trustedFailures = 10_000 // of one address
	spareShare      = 6      // the networks of a client have this part of the attempts for other addresses
	spareRefill     = 30 * time.Second
	askEvery        = 10 * time.Second
	recordDelay     = time.Second // for more to be recorded in one write
	recordRetry     = 10 * time.Second
)

func newTrust(store registry.Store, queue *fairQueue, attempts int) *trust {
	recorder, _ := store.(registry.NetworkRecorder)
	return &trust{
		recorder: recorder,
		queue:    queue,
		clients:  newBounded[*trustedClient](maxBuckets, trustFor),
		address:  allowance{trustedFailures, attemptEvery},
		spare:    allowance{max(1, attempts/spareShare), spareRefill},
		recorded: func(error) {},
		noted:    map[string]map[netip.Addr]time.Time{},
		wake:     make(chan struct{}, 1),
	}
}

// client calls f with what is known of the client, locked; not where nothing is.
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

// mayAsk reports whether the client has succeeded from the network with a secret of
// either kind, so that its record may be read although the network is refused.
func (t *trust) mayAsk(a attempt) bool { return t.knows(a, false) }

func (t *trust) knows(a attempt, chosen bool) (knows bool) {
	if host, ok := ipOf(a.address); ok {
		t.client(a.clientID, func(c *trustedClient, now time.Time) { knows = c.knows(prefixOf(host), chosen, now) })
	}
	return knows
}

// allowed is a failure that is reserved, of those that a trusted network is allowed.
type allowed struct {
	trust  *trust
	client *trustedClient // nil: none is reserved
	place  netip.Addr     // invalid: one for other addresses
}

// reserve reserves a failure for an attempt from a network that is trusted. ok is
// false when none is left. What was reserved is settled once.
func (t *trust) reserve(a attempt) (reserved allowed, ok bool) {
	host, _ := ipOf(a.address)
	t.client(a.clientID, func(c *trustedClient, now time.Time) {
		if p := c.at(host); p != nil && p.chosen && p.failures.wait(t.address, now) <= 0 {
			p.failures.reserved++
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
		if !r.place.IsValid() {
			c.spare.settle(r.trust.spare, used, now)
		} else if p := c.at(r.place); p != nil && p.failures.reserved > 0 {
			p.failures.settle(r.trust.address, used, now)
		}
	})
}

// succeeded trusts the client in its network, where its secret is a chosen one.
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
		if p := c.add(host, chosen, now); p != nil && t.recorder != nil && c.note(p, now) {
			t.note(a.clientID, host, now)
		}
	})
}

func newTrustedClient() *trustedClient { return &trustedClient{} }

// note notes a success for the store.
func (t *trust) note(clientID string, host netip.Addr, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(clientID, host, now)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// keep notes a success, unless there is no room: maxPlaces of one client, maxUses of
// all.
func (t *trust) keep(clientID string, host netip.Addr, at time.Time) bool {
	of := t.noted[clientID]
	old, known := of[host]
	switch {
	case known && !old.Before(at):
		return true
	case !known && (len(of) >= maxPlaces || t.count >= maxUses):
		return false
	case of == nil:
		of = map[netip.Addr]time.Time{}
		t.noted[clientID] = of
	}
	if of[host] = at; !known {
		t.count++
	}
	return true
}

// load reads from the store where the client has succeeded, at most once in
// askEvery. Nothing is trusted when the store does not answer.
func (t *trust) load(ctx context.Context, a attempt) {
	if t.recorder == nil {
		return
	}
	client, asked := t.clients.getOrSet(a.clientID, newTrustedClient), false
	client.locked(func(c *trustedClient, now time.Time) { asked = now.Sub(c.asked) < askEvery })
	if asked {
		return
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	_, _, _ = t.reads.do(bound, a.clientID, func(ctx context.Context, _ func() bool) (struct{}, error) {
		if err := t.queue.acquire(ctx, a.network, false); err != nil {
			return struct{}{}, err
		}
		defer t.queue.release()
		client.locked(func(c *trustedClient, now time.Time) { c.asked = now })
		detached, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), storeTimeout, errStoreStalled)
		defer cancel()
		hosts, err := t.recorder.Networks(detached, a.clientID)
		for _, host := range hosts {
			t.learn(a.clientID, host, time.Now())
		}
		return struct{}{}, err
	})
}

// learn trusts what the store has recorded.
func (t *trust) learn(clientID, recorded string, at time.Time) {
	host, ok := ipOf(recorded)
	if !ok {
		return // another program's
	}
	t.clients.getOrSet(clientID, newTrustedClient).locked(func(c *trustedClient, _ time.Time) {
		if p := c.add(host, true, at); p != nil && p.recorded.Before(at) {
			p.recorded = at
		}
	})
}

// run reads what the store has, and records what is noted, until the context ends.
func (t *trust) run(ctx context.Context) {
	if t.recorder == nil {
		return
	}
	for t.loadAll(ctx) != nil {
		if !pause(ctx, storeRetry) {
			return
		}
	}
	for {
		select {
		case <-t.wake:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, recordDelay) {
			return
		}
		for t.flush(ctx); t.unwritten(); t.flush(ctx) {
			if !pause(ctx, recordRetry) {
				return
			}
		}
	}
}

// pause waits; false when the context ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// loadAll reads where all clients have succeeded, so that a network that is refused
// asks the store nothing after a restart either.
func (t *trust) loadAll(ctx context.Context) error {
	lister, ok := t.recorder.(registry.NetworkLister)
	if !ok {
		return nil
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	all, err := lister.LatestNetworks(bound, maxBuckets/2)
	for _, n := range all {
		t.learn(n.ClientID, n.Network, n.At)
	}
	return err
}

// flush records what is noted. What cannot be written is kept for the next time.
func (t *trust) flush(ctx context.Context) {
	t.mu.Lock()
	taken := t.noted
	t.noted, t.count = map[string]map[netip.Addr]time.Time{}, 0
	t.mu.Unlock()
	var batch []registry.ClientNetwork
	for id, hosts := range taken {
		for host, at := range hosts {
			batch = append(batch, registry.ClientNetwork{ClientID: id, Network: host.String(), At: at})
		}
	}
	if len(batch) == 0 {
		return
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	err := t.recorder.Succeeded(bound, batch)
	if err == nil || ctx.Err() == nil { // and not because the issuer is closed
		t.recorded(err)
	}
	if err != nil {
		t.again(taken, errors.Is(err, registry.ErrInvalid))
	}
}

// again keeps what could not be written for the next time, or where that is in vain or
// there is no room, has the next success there noted again.
func (t *trust) again(taken map[string]map[netip.Addr]time.Time, inVain bool) {
	t.mu.Lock()
	for id, hosts := range taken {
		for host, at := range hosts {
			if !inVain && t.keep(id, host, at) {
				delete(hosts, host)
			}
		}
	}
	t.mu.Unlock()
	for id, hosts := range taken {
		t.client(id, func(c *trustedClient, _ time.Time) {
			for host := range hosts {
				c.forget(host)
			}
		})
	}
}

// unwritten reports whether something is noted.
func (t *trust) unwritten() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.noted) > 0
}

func (t *trust) sweep() { t.clients.sweep() }
