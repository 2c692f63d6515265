package issuer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

const (
	restoreWithin  = 2 * time.Second       // each replica begins at a moment of its own
	restoreEvery   = 10 * time.Millisecond // between two writes
	restoreLongest = time.Minute           // between two of a store whose clock is behind
)

var errRestored = errors.New("issuer: the store's feed was set back, as by a restored backup")

// feedRestored begins to write again what a feed that was set back lacks. A feed
// whose end lay before what had been read was set back for certain; one that lacked
// its last entry was if it lacks more.
func (i *Issuer) feedRestored(from, to int64, certain bool) {
	i.clients.evictAll() // the records were set back too
	i.ledger.coverDropped(to)
	lacking := len(i.ledger.lacking())
	if lacking == 0 && !certain {
		return
	}
	i.restoring.Store(int64(lacking))
	i.reportState(event.StateOlder, fmt.Errorf("%w, from %d to %d: it lacks %d revocations that are known here, which are written again now; see what else was set back: clients, secrets, keys", errRestored, from, to, lacking))
	select {
	case i.ledger.wake <- struct{}{}:
	default:
	}
}

// restore writes to the feed what it lacks, each time it was set back.
func (i *Issuer) restore(ctx context.Context) {
	for {
		select {
		case <-i.ledger.wake:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, rand.N(restoreWithin)) {
			return
		}
		lacking := i.ledger.lacking()
		for n, c := range lacking {
			i.restoring.Store(int64(len(lacking) - n))
			if !i.restoreOne(ctx, c) {
				return
			}
		}
		i.restoring.Store(0)
	}
}

// restoreOne writes a change that the feed lacks, unless another replica has done so
// meanwhile; false when the context ends first. A cut-off whose new sequence is not
// above the one that is known here, as the store's clock is behind that of the lost one,
// is written until it is: new tokens would be refused here until then.
func (i *Issuer) restoreOne(ctx context.Context, c registry.Change) bool {
	again := storeRetry
	for {
		if c.Kind != registry.TokenRevoked {
			// A cut-off that is written twice costs clients one more token.
			_ = i.feed.poll(ctx)
		}
		if !i.ledger.lacks(c) {
			return true
		}
		if i.revoke(registry.AsOperator(ctx), c) == nil {
			if !i.ledger.lacks(c) {
				return pause(ctx, restoreEvery)
			}
			again = min(2*again, restoreLongest)
		}
		if !pause(ctx, again) {
			return false
		}
	}
}
