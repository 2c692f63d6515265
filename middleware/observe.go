package middleware

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Event is what [Config.Observe] gets for a request: its Op is event.OpRequest. Of
// a request that was let in, Status is 0; of a refused one, Reason says why, and
// Status and Code what was answered. ClientID and TokenID are of verified tokens
// only, among them those that have expired, were revoked or lack a scope. Duration is
// how long the checks took.
type Event = event.Event

// watch makes sure that an observed request is reported once, by one guard or
// several. The outermost makes it and reports an admission, when the
// handler has returned; a guard further in that refuses reports that instead.
type watch struct {
	took    time.Duration // of the outermost guard's verification
	decided atomic.Bool   // the request has been reported
}

// watched returns the watch of a request that has just been let in: that of a guard
// further out, or a new one.
func (b *Bearer) watched(prior *watch, began time.Time) *watch {
	if prior != nil || b.observe == nil {
		return prior
	}
	return &watch{took: time.Since(began)}
}

// decide reports whether the request is still to be reported. It is true once.
func (w *watch) decide() bool { return w == nil || w.decided.CompareAndSwap(false, true) }

// clock returns the time, for Event.Duration; zero without an observer.
func (b *Bearer) clock() time.Time {
	if b.observe == nil {
		return time.Time{}
	}
	return time.Now()
}

// reportRefusal reports a request that a guard refuses. a is how it was let in
// before that, as far as it was.
func (b *Bearer) reportRefusal(ctx context.Context, a admission, began time.Time, e Event) {
	if b.observe == nil {
		return
	}
	if a.watch == nil { // perhaps a guard further out has let the request in without a token
		a.watch, _ = ctx.Value(anonymousKey{b}).(*watch)
	}
	if !a.watch.decide() {
		return
	}
	e.Op, e.Duration = event.OpRequest, time.Since(began)
	if a.watch != nil {
		e.Duration += a.watch.took
	}
	if a.token != nil {
		e.ClientID, e.TokenID = a.token.clientID, a.token.id
	}
	b.observe(ctx, e)
}

// reported reports a refusal by a guard, and returns it.
func (b *Bearer) reported(r *http.Request, a admission, began time.Time, e *Error) *Error {
	b.reportRefusal(r.Context(), a, began, eventOf(e))
	return e
}

// eventOf is the event of a refusal. Err is the private cause.
func eventOf(e *Error) Event {
	reported := Event{Reason: e.Reason(), Status: e.Status, Code: e.Code, Err: e.cause}
	if e.cause == nil {
		reported.Err = e
	}
	return reported
}

// reportAdmission reports a request that all guards have let in.
func (b *Bearer) reportAdmission(ctx context.Context, a admission) {
	if a.watch.decide() {
		b.observe(ctx, Event{Op: event.OpRequest, ClientID: a.token.clientID, TokenID: a.token.id, Duration: a.watch.took})
	}
}
