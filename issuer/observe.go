package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Event is what Config.Observe is told: one for each request to the token,
// revocation and introspection endpoints, one for each call of RevokeToken,
// RevokeClient, RevokeSecret and RevokeAll, and one for each change of what happens
// in the background:
//
//   - event.OpFollow: the store's feed cannot be followed, or can again; this
//     machine's clock is off the store's (event.ClockOff), or right again; the feed was
//     set back, as by a restored backup (event.StateOlder)
//   - event.OpRecord: when secrets were used, and from where, cannot be recorded, or
//     can again
//   - event.OpConfig: the configuration does not fit the clients or the requests, each
//     fault once
type Event = event.Event

// observation is an operation under way, for the event that reports it. Without
// Config.Observe it does nothing.
type observation struct {
	issuer *Issuer
	began  time.Time
}

func (i *Issuer) observation() observation {
	if i.observe == nil {
		return observation{}
	}
	return observation{issuer: i, began: time.Now()}
}

// report sends the event of the operation, which failed with err unless that is
// nil.
func (o observation) report(ctx context.Context, e Event, err *Error) {
	if o.issuer == nil {
		return
	}
	e.Duration = time.Since(o.began)
	if err != nil {
		e.Status, e.Code, e.Reason, e.Err = err.Status, err.Code, err.reason, err.cause
		if e.Err == nil {
			e.Err = err
		}
	}
	o.issuer.observe(ctx, e)
}

// reportRevocation sends the event of a revocation by the program.
func (o observation) reportRevocation(ctx context.Context, e Event, err error) {
	e.Op = event.OpRevoke
	if err != nil {
		e.Reason, e.Err = event.StoreUnavailable, err
	}
	o.report(ctx, e, nil)
}

// reportState sends the event of a change of what happens in the background while
// the feed is followed: a reason when it fails, none when it works again.
func (i *Issuer) reportState(reason event.Reason, err error) {
	i.tell(context.Background(), Event{Op: event.OpFollow, Reason: reason, Err: err})
}

// recorded takes in how a write of last uses, or of networks, went.
func (i *Issuer) recorded(c *condition, err error) {
	var reason event.Reason
	if err != nil {
		reason, err = event.StoreUnavailable, fmt.Errorf("issuer: when secrets were used, or from where, cannot be recorded: %w", err)
	}
	if c.set(reason, err) {
		i.tell(context.Background(), Event{Op: event.OpRecord, Reason: reason, Err: err})
	}
}

// tell sends an event that is about no request, to slog where nobody observes.
func (i *Issuer) tell(ctx context.Context, e Event) {
	if i.notify != nil {
		i.notify(ctx, e)
	}
}

// Causes of the event that reportProxy sends.
var (
	errProxyUnknown = errors.New("issuer: a proxy sends requests on, and whom they come from is not known: bounds per network are off for them; set Config.ClientIP (endpoints that Mount adds also see Echo's IPExtractor)")
	errNoClientIP   = errors.New("issuer: Config.ClientIP, Echo's IPExtractor or the connection gave no IP address for a request: bounds per network are off for such; have Config.ClientIP return an address, with or without a port")
)

// reportProxy says that it is not known where requests come from, and so their callers
// cannot be told apart.
func (i *Issuer) reportProxy(ctx context.Context, fault error) {
	i.tell(ctx, Event{Op: event.OpConfig, Reason: event.ProxyUnknown, Err: fault})
}
