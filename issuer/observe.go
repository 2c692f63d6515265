package issuer

import (
	"context"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Event is what Config.Observe is told: one for each request to the token,
// revocation and introspection endpoints, one for each call of RevokeToken,
// RevokeClient, RevokeSecret and RevokeAll, and one when the store's feed cannot be
// followed, or can again. One more says, once, that requests arrive by a proxy while
// Config.ClientIP is not set (event.OpConfig).
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

// errProxyUnknown is the cause of the event that reportProxy sends.
var errProxyUnknown = errors.New("issuer: a proxy sends requests on, and whom they come from is not known: bounds per network are off for them; set Config.ClientIP, or Echo's IPExtractor")

// reportProxy says that requests arrive by a proxy and their callers cannot be told
// apart.
func (i *Issuer) reportProxy(ctx context.Context) {
	if i.observe != nil {
		i.observe(ctx, Event{Op: event.OpConfig, Reason: event.ProxyUnknown, Err: errProxyUnknown})
	}
}

// reportFollowing sends the event of polls of the feed that begin to fail, and,
// with a nil error, of the first one that succeeds again.
func (i *Issuer) reportFollowing(err error) {
	e := Event{Op: event.OpFollow, Err: err}
	if err != nil {
		e.Reason = event.StoreUnavailable
	}
	i.observation().report(context.Background(), e, nil)
}
