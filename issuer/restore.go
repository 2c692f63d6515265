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
	restoreWithin  = 2 * time.Second       // each replica starts at a random moment within this
	restoreEvery   = 10 * time.Millisecond // between two writes
	restoreLongest = time.Minute           // between two writes to a store whose clock is behind
)

var errRestored = errors.New("issuer: the store's feed was set back, as by a restored backup")

// feedRestored starts to restore the revocations that a feed which was set back lacks.
// certain is whether its end was before the cursor. If it is not, the feed was set back
// only if it lacks revocations.
func (i *Issuer) feedRestored(from, to int64, certain bool) {
	i.clients.evictAll() // the records were set back too
	i.ledger.coverDropped(to)
	lacking := len(i.ledger.lacking())
	if lacking == 0 && !certain {
		return
	}
	i.restoring.Store(int64(lacking))
	i.reportState(event.StateOlder, fmt.Errorf("%w, from %d to %d: it lacks %d revocations that are known here, and they are being restored; check what else was set back: clients, secrets, keys", errRestored, from, to, lacking))
	select {
	case i.ledger.wake <- struct{}{}:
	default:
	}
}

// restore writes to the feed what it lacks, each time it was set back, until the
// context ends.
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

// restoreOne writes a change that the feed lacks, unless another replica has written it
// meanwhile. It returns false when the context ends first. A cut-off is written until
// its new sequence is above the one that is known here: until then, new tokens are
// refused here. The first writes may stay below it if the store's clock is behind that
// of the lost store.
func (i *Issuer) restoreOne(ctx context.Context, c registry.Change) bool {
	retry := storeRetry
	for {
		if c.Kind != registry.TokenRevoked {
			// A cut-off that two replicas write costs clients one more token.
			_ = i.feed.poll(ctx)
		}
		if !i.ledger.lacks(c) {
			return true
		}
		if i.revoke(registry.AsOperator(ctx), c) == nil {
			if !i.ledger.lacks(c) {
				return pause(ctx, restoreEvery)
			}
			retry = min(2*retry, restoreLongest)
		}
		if !pause(ctx, retry) {
			return false
		}
	}
}
