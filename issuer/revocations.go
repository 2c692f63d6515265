package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// revocations is what is revoked, in memory, and the follower of the store's
// feed that keeps it so. To ask it is a look-up, never a query.
type revocations struct {
	store   registry.Store
	maxLag  time.Duration
	changed func(clientID string) // a client's record is not what it was
	flush   func(context.Context) // called about every flushEvery, and at the end

	seed    maphash.Seed
	tokens  [256]revokedTokens // in shards, so that a sweep holds nobody up
	clients [256]revokedClients

	looking  chan struct{}             // full while somebody reads the feed
	sequence int64                     // of the last entry read
	followed atomic.Pointer[time.Time] // when the feed was last known to its end; nil: not yet
	failure  atomic.Value              // error, of the last look that failed

	starting sync.Once
	stopped  context.Context
	stop     context.CancelFunc
	done     sync.WaitGroup
}

type revokedTokens struct {
	sync.RWMutex
	until map[string]int64 // jti → unix seconds from when it does not matter
	some  atomic.Bool      // the map is not empty, which most are
}

type revokedClients struct {
	sync.RWMutex
	cut  map[string]cutOff
	some atomic.Bool
}

// cutOff is the second up to which a client's tokens are revoked.
type cutOff struct{ notBefore, until int64 }

const (
	fullPage    = 1000                   // fewer entries than these are all that the store has
	followEvery = 750 * time.Millisecond // so that a look, and a second one should it fail, fit in 2 s
	sweepEvery  = time.Minute
	flushEvery  = 30 * time.Second
)

func newRevocations(store registry.Store, maxLag time.Duration, changed func(string), flush func(context.Context)) *revocations {
	r := &revocations{store: store, maxLag: maxLag, changed: changed, flush: flush, seed: maphash.MakeSeed(), looking: make(chan struct{}, 1)}
	for i := range r.tokens {
		r.tokens[i].until = map[string]int64{}
		r.clients[i].cut = map[string]cutOff{}
	}
	r.stopped, r.stop = context.WithCancel(context.Background())
	return r
}

// start begins to follow the feed, at first use.
func (r *revocations) start() {
	r.starting.Do(func() {
		r.done.Go(r.follow)
		r.done.Go(r.tidy)
	})
}

func (r *revocations) close() {
	r.starting.Do(func() {}) // from here on it cannot start
	r.stop()
	r.done.Wait()
}

func (r *revocations) follow() {
	look := time.NewTicker(followEvery)
	defer look.Stop()
	for {
		_ = r.look(r.stopped, false) // a failure shows in lag
		select {
		case <-look.C:
		case <-r.stopped.Done():
			return
		}
	}
}

// tidy does what may take long, and must not keep follow from its work.
func (r *revocations) tidy() {
	sweep, flush := time.NewTicker(sweepEvery), time.NewTicker(flushEvery)
	defer sweep.Stop()
	defer flush.Stop()
	for {
		select {
		case <-sweep.C:
			r.sweep()
		case <-flush.C:
			r.flush(r.stopped)
		case <-r.stopped.Done():
			return
		}
	}
}

// look reads what is new in the feed, or, the first time, only if nobody has
// read it meanwhile.
func (r *revocations) look(ctx context.Context, first bool) error {
	select {
	case r.looking <- struct{}{}:
		defer func() { <-r.looking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if first && r.followed.Load() != nil {
		return nil
	}
	for restarted := false; ; {
		begun := time.Now()
		page, cancel := context.WithTimeoutCause(ctx, storePatience, errStoreStalled)
		entries, err := r.store.Revocations(page, r.sequence)
		cancel()
		if errors.Is(err, registry.ErrConflict) && r.sequence > 0 && !restarted {
			r.sequence, restarted = 0, true // what was known stays known
			continue
		}
		if err != nil {
			r.failure.Store(fmt.Errorf("issuer: reading revocations: %w", err))
			return err
		}
		for _, e := range entries {
			r.apply(e)
			r.sequence = max(r.sequence, e.Sequence)
		}
		if len(entries) < fullPage { // not none: new ones may come as fast as they are read
			r.followed.Store(&begun)
			return nil
		}
	}
}

// apply makes an entry count, however often it comes.
func (r *revocations) apply(e registry.Revocation) {
	until := e.ExpiresAt.Unix() + 1
	switch {
	case e.TokenID != "":
		shard := &r.tokens[r.shard(e.TokenID)]
		shard.Lock()
		shard.until[e.TokenID] = max(until, shard.until[e.TokenID])
		shard.some.Store(true)
		shard.Unlock()
	case !e.NotBefore.IsZero():
		shard := &r.clients[r.shard(e.ClientID)]
		shard.Lock()
		known := shard.cut[e.ClientID]
		shard.cut[e.ClientID] = cutOff{max(e.NotBefore.Unix(), known.notBefore), max(until, known.until)}
		shard.some.Store(true)
		shard.Unlock()
		r.changed(e.ClientID)
	default:
		r.changed(e.ClientID)
	}
}

// shard is where an id belongs.
func (r *revocations) shard(id string) int {
	return int(maphash.String(r.seed, id) % uint64(len(r.tokens)))
}

var errLag = errors.New("issuer: the revocations in the store cannot be followed")

// revoked looks a token up. It answers with an error rather than guess when the
// feed has not been followed for too long.
func (r *revocations) revoked(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
	r.start()
	if r.followed.Load() == nil { // the first requests wait for the first look
		bound, cancel := context.WithTimeoutCause(ctx, storePatience, errStoreStalled)
		defer cancel()
		if err := r.look(bound, true); err != nil {
			return false, fmt.Errorf("%w: %w", errLag, err)
		}
	}
	// The clock is read each time: a process that was stopped serves requests again
	// before a timer could say so.
	if lag := time.Since(*r.followed.Load()); lag > r.maxLag {
		err, _ := r.failure.Load().(error)
		return false, fmt.Errorf("%w for %v: %w", errLag, lag.Round(time.Second), cmp.Or[error](err, errStoreStalled))
	}
	return r.known(jti, clientID, issuedAt), nil
}

// known reports whether the token is among what is revoked, as far as that has
// been read.
func (r *revocations) known(jti, clientID string, issuedAt time.Time) bool {
	if tokens := &r.tokens[r.shard(jti)]; tokens.some.Load() {
		tokens.RLock()
		_, found := tokens.until[jti]
		tokens.RUnlock()
		if found {
			return true
		}
	}
	clients := &r.clients[r.shard(clientID)]
	if !clients.some.Load() {
		return false
	}
	clients.RLock()
	cut, found := clients.cut[clientID]
	clients.RUnlock()
	return found && issuedAt.Unix() <= cut.notBefore
}

// sweep forgets what does not matter any more.
func (r *revocations) sweep() {
	now := time.Now().Unix()
	for i := range r.tokens {
		tokens, clients := &r.tokens[i], &r.clients[i]
		tokens.Lock()
		maps.DeleteFunc(tokens.until, func(_ string, until int64) bool { return until <= now })
		tokens.some.Store(len(tokens.until) > 0)
		tokens.Unlock()
		clients.Lock()
		maps.DeleteFunc(clients.cut, func(_ string, cut cutOff) bool { return cut.until <= now })
		clients.some.Store(len(clients.cut) > 0)
		clients.Unlock()
	}
}
