package issuer

import (
	"cmp"
	"context"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// guessing is one attempt with a chosen secret, after its account was looked up.
//
// For a caller from a trusted network the secret is compared with the cached
// fingerprint at once. If it differs, that costs one of the failures that trust allows;
// it is given back if the attempt costs one of the client's instead. All other callers
// wait for their turn, whether their secret is right or not, so to them a client and an
// unknown id look the same.
type guessing struct {
	*lockout
	ctx context.Context //nolint:containedctx // of one request, and gone with it
	attempt
	steps
	lookedUp

	refusal *Error  // of the network, nil unless it has failed too often
	differs allowed // the failure that it cost to find that the secret is not the cached one
	wrong   bool    // the secret is not the cached one
	outcome outcome // for the attempts of the client and the network
}

func (g *guessing) run() *Error {
	trusted := g.exists && g.trust.has(g.attempt)
	if trusted && g.tryCached() {
		return nil
	}
	err := g.inTurn(trusted)
	g.differs.settle(g.outcome != failed)
	return err
}

// tryCached reports whether the secret is the cached one.
func (g *guessing) tryCached() bool {
	reserved, ok := g.trust.reserve(g.attempt)
	if !ok {
		return false
	}
	cached, err := g.matchCached()
	if cached && err != nil {
		g.differs, g.wrong = reserved, true
		return false
	}
	reserved.settle(false)
	return cached
}

// inTurn checks the secret within the attempts of the client and the network. If none
// is left, it checks within those that trust allows.
func (g *guessing) inTurn(trusted bool) *Error {
	if g.network != "" && g.full() { // unknown ids are refused then
		return g.beyond(trusted, cmp.Or(g.refusal, unavailable(event.Busy, errQueueFull)))
	}
	if g.refusal != nil {
		return g.beyond(trusted, g.refusal)
	}
	network, refusal := g.reserveNetwork()
	if refusal == nil {
		defer func() { network.settle(g.outcome) }()
		var client *reservation
		if client, refusal = g.reserveClient(); refusal == nil {
			defer func() { client.settle(g.outcome) }()
			return g.compare(trusted && !g.wrong)
		}
	}
	if g.stale { // unknown ids are refused then
		refusal = unavailable(event.StoreUnavailable, refusal.cause)
	}
	return g.beyond(trusted, refusal)
}

// reserveNetwork reserves an attempt of the network. The error is the answer if none is
// left.
func (g *guessing) reserveNetwork() (*reservation, *Error) {
	if g.network == "" {
		return nil, nil
	}
	if r := g.networks.reserve(g.network, g.clientID+" "+g.secret); r != nil {
		return r, nil
	}
	return nil, refuse(max(time.Second, g.networks.wait(g.network)), lockedOut{g.network, g.networks.allowance})
}

// reserveClient reserves an attempt at the client. The error is the answer if none is
// left.
func (g *guessing) reserveClient() (*reservation, *Error) {
	turns := g.unknown
	if g.exists {
		turns = g.clients
	}
	r, wait := turns.reserve(g.clientID, g.network, g.secret)
	if r == nil {
		return nil, refuse(wait, lockedOut{"", turns.clients.allowance})
	}
	return r, nil
}

// compare checks the secret. A caller whose network is not known is never trusted: its
// secret is compared with the cached one at once, and every attempt that does not
// succeed is used up.
func (g *guessing) compare(ahead bool) *Error {
	if g.network == "" {
		g.outcome = failed
		if cached, err := g.matchCached(); cached && err == nil {
			g.outcome = succeeded
			return nil
		}
		if g.full() {
			return unavailable(event.Busy, errQueueFull)
		}
	}
	checked, err := g.check(ahead)
	switch {
	case err == nil:
		g.outcome = succeeded
	case checked:
		g.outcome = failed
	}
	return err
}

// beyond checks the secret of a refused caller, if trust allows it.
func (g *guessing) beyond(trusted bool, refusal *Error) *Error {
	if !g.exists || g.wrong {
		return refusal
	}
	if !trusted {
		if g.trust.load(g.ctx, g.attempt); !g.trust.has(g.attempt) {
			return refusal
		}
	}
	reserved, ok := g.trust.reserve(g.attempt)
	if !ok {
		return refusal
	}
	checked, err := g.matchCached()
	if !checked {
		checked, err = g.check(true)
	}
	reserved.settle(checked && err != nil)
	if err != nil {
		return refusal
	}
	return nil
}
