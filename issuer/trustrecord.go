package issuer

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// note notes a success, for the next write to the store.
func (t *trust) note(clientID string, host netip.Addr, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(clientID, host, now)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// keep adds a success to noted. It returns false at capacity: maxAddresses of one
// client, maxUses of all.
func (t *trust) keep(clientID string, host netip.Addr, at time.Time) bool {
	of := t.noted[clientID]
	old, known := of[host]
	switch {
	case known && !old.Before(at):
		return true
	case !known && (len(of) >= maxAddresses || t.count >= maxUses):
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
// readEvery. If the store does not answer, nothing is trusted.
func (t *trust) load(ctx context.Context, a attempt) {
	if t.recorder == nil {
		return
	}
	client, readLately := t.clients.getOrSet(a.clientID, newTrustedClient), false
	client.locked(func(c *trustedClient, now time.Time) { readLately = now.Sub(c.read) < readEvery })
	if readLately {
		return
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	_, _, _ = t.reads.do(bound, a.clientID, func(ctx context.Context, _ func() bool) (struct{}, error) {
		if err := t.queue.acquire(ctx, a.network, false); err != nil {
			return struct{}{}, err
		}
		defer t.queue.release()
		client.locked(func(c *trustedClient, now time.Time) { c.read = now })
		detached, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), storeTimeout, errStoreStalled)
		defer cancel()
		hosts, err := t.recorder.Networks(detached, a.clientID)
		for _, host := range hosts {
			t.learn(a.clientID, host, time.Now())
		}
		return struct{}{}, err
	})
}

// learn trusts an address that the store has recorded.
func (t *trust) learn(clientID, recorded string, at time.Time) {
	host, ok := ipOf(recorded)
	if !ok {
		return // another program wrote it
	}
	t.clients.getOrSet(clientID, newTrustedClient).locked(func(c *trustedClient, _ time.Time) {
		if added := c.add(host, true, at); added != nil && added.recorded.Before(at) {
			added.recorded = at
		}
	})
}

// run reads what the store has, then records what is noted, until the context ends.
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

// pause waits. It returns false when the context ends first.
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

// loadAll reads where all clients have succeeded, so that a refused network costs no
// query after a restart either.
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

// flush records what is noted. What cannot be written is kept for the next flush.
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
	if err == nil || ctx.Err() == nil { // not because the issuer was closed
		t.recorded(err)
	}
	if err != nil {
		t.notWritten(taken, !errors.Is(err, registry.ErrInvalid))
	}
}

// notWritten keeps, if retryable, what could not be written. What is not kept is noted
// again at the next success there.
func (t *trust) notWritten(taken map[string]map[netip.Addr]time.Time, retryable bool) {
	t.mu.Lock()
	for id, hosts := range taken {
		for host, at := range hosts {
			if retryable && t.keep(id, host, at) {
				delete(hosts, host)
			}
		}
	}
	t.mu.Unlock()
	for id, hosts := range taken {
		t.client(id, func(c *trustedClient, _ time.Time) {
			for host := range hosts {
				c.renote(host)
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
