package issuer

import (
	"context"
	"strconv"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

const (
	maxTokenUses = 1 << 14   // tokens whose next use is known here
	tokenUsesFor = time.Hour // without use
)

// tokenUses counts the uses of the tokens of one workload issuer, over all replicas. Each
// use of a token is a numbered replay record in the store: the request that makes the
// record has that use. A replica caches the number of the next one.
type tokenUses struct {
	store registry.Store
	scope string
	most  int
	next  *bounded[int] // the first use that may be left, by token
}

func newTokenUses(store registry.Store, issuer string, most int) *tokenUses {
	return &tokenUses{store: store, scope: "workload:" + issuer, most: most, next: newBounded[int](maxTokenUses, tokenUsesFor)}
}

// take takes one use of the token, which is accepted until its end. A token that has no
// use left costs no write.
func (u *tokenUses) take(ctx context.Context, token string, end time.Time) *Error {
	if ended(end) {
		return invalidClient(event.Expired, errTokenEnded)
	}
	id := onceID(token)
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	use, _ := u.next.get(id)
	for ; use < u.most; use++ {
		first, err := u.store.Once(bound, u.scope, id+" "+strconv.Itoa(use), recordUntil(end))
		if err != nil {
			u.next.set(id, use)
			return unavailable(event.StoreUnavailable, err)
		}
		if first {
			u.next.set(id, use+1)
			return nil
		}
	}
	u.next.set(id, u.most)
	return invalidClient(event.ReplayedAssertion, errUsedUp)
}

func (u *tokenUses) sweep() { u.next.sweep() }

const (
	errTokenEnded = constError("issuer: the token of the workload expired before its use was recorded")
	errUsedUp     = constError("issuer: the token of the workload was used as often as WorkloadIssuer.MaxUses allows: it must get a new one, or cache its access tokens")
)
