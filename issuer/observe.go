package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Event is the argument of Config.Observe. There is one for each request to the token,
// revocation and introspection endpoints, one for each call of RevokeToken, RevokeClient,
// RevokeSecret and RevokeAll, and one for each change of state in the background:
//
//   - event.OpFollow: the store's feed cannot be read, or can be read again; this
//     machine's clock differs from the store's (event.ClockOff), or agrees again; the
//     feed was set back, as by a restored backup (event.StateOlder)
//   - event.OpRecord: the last use of secrets, or the addresses of clients, cannot be
//     recorded, or can be recorded again
//   - event.OpFetch: the key set of a client or of a workload issuer was fetched, or could
//     not be
//   - event.OpConfig: the configuration does not fit the clients or the requests; each
//     fault is reported once
type Event = event.Event

// observation measures an operation for the event that reports it. Without
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

// report sends the event of the operation. err is nil if the operation succeeded.
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

// reportState sends the event of a change in the state of the follower: with a reason
// when it begins to fail, without one when it works again.
func (i *Issuer) reportState(reason event.Reason, err error) {
	i.tell(context.Background(), Event{Op: event.OpFollow, Reason: reason, Err: err})
}

// recorded notes the result of a write of last uses, or of addresses.
func (i *Issuer) recorded(c *condition, err error) {
	var reason event.Reason
	if err != nil {
		reason, err = event.StoreUnavailable, fmt.Errorf("issuer: the last use of secrets, or the addresses of clients, cannot be recorded: %w", err)
	}
	if c.set(reason, err) {
		i.tell(context.Background(), Event{Op: event.OpRecord, Reason: reason, Err: err})
	}
}

// tell sends an event that is not about a request: to Config.Observe, or without it to
// slog.
func (i *Issuer) tell(ctx context.Context, e Event) {
	if i.notify != nil {
		i.notify(ctx, e)
	}
}

// Causes of the event that reportProxy sends.
var (
	errProxyUnknown = errors.New("issuer: a proxy forwards requests, and the addresses of the callers are not known, so limits per network are off for these requests: set Config.ClientIP, or Echo's IPExtractor if you use Mount")
	errNoClientIP   = errors.New("issuer: Config.ClientIP, Echo's IPExtractor or the connection gave no IP address, so limits per network are off for these requests: set Config.ClientIP to a func that returns one")
)

// reportProxy sends the event that the addresses of callers are not known.
func (i *Issuer) reportProxy(ctx context.Context, fault error) {
	i.tell(ctx, Event{Op: event.OpConfig, Reason: event.ProxyUnknown, Err: fault})
}
