package issuer

import (
	"cmp"
	"context"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// guessing is one attempt with a chosen secret, of an account that was found.
//
// A caller whose network is trusted is told at once that its secret is the one that
// matched lately. That it is another one costs a failure that trust allows, until an
// attempt of the client is used up instead. All other callers wait for their turn,
// whether their secret is right or not: known and unknown clients are alike to them.
type guessing struct {
	*lockout
	ctx context.Context //nolint:containedctx // of one request, and gone with it
	attempt
	steps
	looked

	refusal *Error  // of the network, nil unless it has failed too often
	told    allowed // was used up to tell the caller that its secret is not the known one
	wrong   bool    // it has been told
	outcome outcome // for the attempts of the client and the network
}

func (g *guessing) run() *Error {
	trusted := g.exists && g.trust.has(g.attempt)
	if trusted && g.lookAhead() {
		return nil
	}
	err := g.inTurn(trusted)
	g.told.settle(g.outcome != failed)
	return err
}

// lookAhead reports whether the secret is the one that matched lately.
func (g *guessing) lookAhead() bool {
	reserved, ok := g.trust.reserve(g.attempt)
	if !ok {
		return false
	}
	known, err := g.look()
	if known && err != nil {
		g.told, g.wrong = reserved, true
		return false
	}
	reserved.settle(false)
	return known
}

// inTurn checks the secret within the attempts of the client and the network, or where
// there are none left, within those that trust allows.
func (g *guessing) inTurn(trusted bool) *Error {
	if g.network != "" && g.full() { // then unknown ids are turned away
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
	if g.stale { // then unknown ids are turned away
		refusal = unavailable(event.StoreUnavailable, refusal.cause)
	}
	return g.beyond(trusted, refusal)
}

// reserveNetwork reserves an attempt of the network. The error is the answer where
// there is none left.
func (g *guessing) reserveNetwork() (*reservation, *Error) {
	if g.network == "" {
		return nil, nil
	}
	if r := g.networks.reserve(g.network, g.clientID+" "+g.secret); r != nil {
		return r, nil
	}
	return nil, refuse(max(time.Second, g.networks.wait(g.network)), lockedOut{g.network, g.networks.allowance})
}

// reserveClient reserves an attempt at the client.
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

// compare checks the secret. Of callers whose network is not known, none is trusted:
// all are told at once, and every attempt that is not let in is used up.
func (g *guessing) compare(ahead bool) *Error {
	if g.network == "" {
		g.outcome = failed
		if known, err := g.look(); known && err == nil {
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

// beyond checks the secret of a caller that is refused, if trust allows it.
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
	checked, err := g.look()
	if !checked {
		checked, err = g.check(true)
	}
	reserved.settle(checked && err != nil)
	if err != nil {
		return refusal
	}
	return nil
}
