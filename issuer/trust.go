package issuer

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

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
// goroutine of its own: clients do not wait for the write.
type trust struct {
	recorder  registry.NetworkRecorder // nil: the store does not keep it
	networks  trustedNetworks
	seen      trustedNetworks         // with a generated secret
	addresses *bounded[*rate.Limiter] // client and address → the failures that are left
	spare     *bounded[*rate.Limiter] // client → the failures left at other addresses of its networks
	asked     *bounded[struct{}]      // clients whose networks were read from the store
	reads     sharedCalls[struct{}]
	queue     *fairQueue // before the store
	limit     int        // of spare

	recorded func(error) // told how each write went

	mu    sync.Mutex
	noted map[[2]string]time.Time // client and address → when it succeeded
	wake  chan struct{}
}

const (
	trustFor          = registry.NetworkLifetime
	trustedFailures   = 10_000 // of one address at which the client has succeeded; then one in attemptEvery
	spareShare        = 6      // the networks of a client have this part of the attempts for other addresses
	spareRefill       = 30 * time.Second
	recordedAddresses = 4 // of one network, as a store keeps few of a client
	recordEvery       = 24 * time.Hour
	askEvery          = 10 * time.Second
	recordDelay       = time.Second // for more to be recorded in one write
	recordRetry       = 10 * time.Second
)

func newTrust(store registry.Store, queue *fairQueue, attempts int) *trust {
	recorder, _ := store.(registry.NetworkRecorder)
	return &trust{
		recorder:  recorder,
		queue:     queue,
		networks:  newTrustedNetworks(),
		seen:      newTrustedNetworks(),
		addresses: newBounded[*rate.Limiter](maxBuckets, trustFor),
		spare:     newBounded[*rate.Limiter](maxBuckets, time.Hour),
		asked:     newBounded[struct{}](maxBuckets, askEvery),
		limit:     max(1, attempts/spareShare),
		recorded:  func(error) {},
		noted:     map[[2]string]time.Time{},
		wake:      make(chan struct{}, 1),
	}
}

// has reports whether the client has succeeded from the network.
func (t *trust) has(a attempt) bool {
	if a.address == "" {
		return false
	}
	_, ok := t.networks.of.get(turnOf(a.clientID, a.network))
	return ok
}

// mayAsk reports whether the client has succeeded from the network with a secret of
// either kind, so that its record may be read although the network is refused.
func (t *trust) mayAsk(a attempt) bool {
	if t.has(a) {
		return true
	}
	_, ok := t.seen.of.get(turnOf(a.clientID, a.network))
	return ok && a.address != ""
}

// saw keeps that the client has succeeded with a generated secret. It makes no chosen
// secret work.
func (t *trust) saw(a attempt) {
	if a.address == "" {
		return
	}
	host, now := hostOf(a.address), time.Now()
	known, _ := t.seen.add(a.clientID, a.network)
	if t.recorder != nil && !t.has(a) && known.note(host, now) {
		t.note(a.clientID, host, now)
	}
}

// allows reports whether an attempt that other rules refuse is let through.
func (t *trust) allows(a attempt) bool {
	if !t.has(a) {
		return false
	}
	if left, ok := t.addresses.get(turnOf(a.clientID, hostOf(a.address))); ok && left.Tokens() >= 1 {
		return true
	}
	left, ok := t.spare.get(a.clientID)
	return !ok || left.Tokens() >= 1
}

// failed counts a failure that only allows let through.
func (t *trust) failed(a attempt) {
	if left, ok := t.addresses.get(turnOf(a.clientID, hostOf(a.address))); ok && left.Allow() {
		return
	}
	t.spare.getOrSet(a.clientID, func() *rate.Limiter { return rate.NewLimiter(rate.Every(spareRefill), t.limit) }).Allow()
}

// succeeded trusts the client in its network.
func (t *trust) succeeded(a attempt) {
	if a.address == "" {
		return
	}
	host, now := hostOf(a.address), time.Now()
	if t.add(a.clientID, host).note(host, now) && t.recorder != nil {
		t.note(a.clientID, host, now)
	}
}

// add trusts an address of a client and its network. Those at which a client has
// succeeded latest are kept, so many that one client takes a small part of the room.
func (t *trust) add(clientID, host string) *trustedNetwork {
	known, dropped := t.networks.add(clientID, networkOf(host))
	for _, old := range append(dropped, known.add(host)...) {
		t.addresses.remove(turnOf(clientID, old))
	}
	t.addresses.getOrSet(turnOf(clientID, host), func() *rate.Limiter { return rate.NewLimiter(rate.Every(attemptEvery), trustedFailures) })
	return known
}

func (t *trust) note(clientID, host string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.noted) < maxUses {
		t.noted[[2]string{clientID, host}] = now
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// load reads from the store where the client has succeeded, at most once in
// askEvery. Nothing is trusted when the store does not answer.
func (t *trust) load(ctx context.Context, a attempt) {
	if t.recorder == nil {
		return
	}
	if _, ok := t.asked.get(a.clientID); ok {
		return
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	_, _ = t.reads.do(bound, a.clientID, func(ctx context.Context) (struct{}, error) {
		if err := t.queue.acquire(ctx, a.network, false); err != nil {
			return struct{}{}, err
		}
		defer t.queue.release()
		t.asked.set(a.clientID, struct{}{})
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
func (t *trust) learn(clientID, host string, recorded time.Time) {
	if _, ok := ipOf(host); !ok && host != notAnAddress {
		return // another program's
	}
	t.add(clientID, host).note(host, recorded)
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
	noted := t.noted
	t.noted = map[[2]string]time.Time{}
	t.mu.Unlock()
	if len(noted) == 0 {
		return
	}
	batch := make([]registry.ClientNetwork, 0, len(noted))
	for key, at := range noted {
		batch = append(batch, registry.ClientNetwork{ClientID: key[0], Network: key[1], At: at})
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	err := t.recorder.Succeeded(bound, batch)
	if err == nil || ctx.Err() == nil { // and not because the issuer is closed
		t.recorded(err)
	}
	if err == nil {
		return
	}
	if !errors.Is(err, registry.ErrInvalid) && t.keep(noted) {
		return
	}
	// A later success is noted again.
	for _, n := range batch {
		for _, networks := range []trustedNetworks{t.networks, t.seen} {
			if known, ok := networks.of.get(turnOf(n.ClientID, networkOf(n.Network))); ok {
				known.forget(n.Network)
			}
		}
	}
}

// keep notes again what could not be written; false when there is no room.
func (t *trust) keep(noted map[[2]string]time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.noted)+len(noted) > maxUses {
		return false
	}
	for key, at := range noted {
		if _, later := t.noted[key]; !later {
			t.noted[key] = at
		}
	}
	return true
}

// unwritten reports whether something is noted.
func (t *trust) unwritten() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.noted) > 0
}

func (t *trust) sweep() {
	t.networks.sweep()
	t.seen.sweep()
	t.addresses.sweep()
	t.spare.sweep()
	t.asked.sweep()
}
