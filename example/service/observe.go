package service

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Observe logs what an operator wants to know: refusals, revocations, operators'
// actions and changes of what happens in the background, but no good request. It is
// the Observe of an issuer, a guard and an admin API.
//
// A flood of bad requests writes 10 lines a second at most, and says how many it
// left out.
func Observe(ctx context.Context, e event.Event) { observed.log(ctx, e) }

var observed = observer{lines: rate.NewLimiter(10, 50)}

type observer struct {
	lines   *rate.Limiter
	leftOut atomic.Int64
}

func (o *observer) log(ctx context.Context, e event.Event) {
	if e.Op == event.OpKeyStore && e.Reason == event.StateForeign {
		e.Err = fmt.Errorf("%w (in this program that is SIGUSR2 for its own ones, and a restart of all replicas for the stored ones)", e.Err)
	}
	switch e.Op {
	case event.OpToken, event.OpIntrospect, event.OpRequest, event.OpRead, event.OpFetch:
		if e.Reason == "" {
			return
		}
	case event.OpRevoke: // clients revoke their own tokens
	default: // of operators and the background: each is logged
		event.Log(ctx, e)
		return
	}
	if !o.lines.Allow() {
		o.leftOut.Add(1)
		return
	}
	if n := o.leftOut.Swap(0); n > 0 {
		slog.WarnContext(ctx, "events were left out of the log, as there were too many", "events", n)
	}
	event.Log(ctx, e)
}
