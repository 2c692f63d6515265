package event_test

import (
	"cmp"
	"context"
	"expvar"
	"fmt"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// An observer for metrics: a counter by Op, Reason and client, and the sum of the
// durations by Op. All labels have a bounded number of values: Op and Reason come from
// closed lists, and an id that is only claimed is left out.
func Example_metrics() {
	var requests, seconds expvar.Map // expvar.NewMap also publishes it at /debug/vars
	observe := func(_ context.Context, e event.Event) {
		client := e.ClientID
		if e.Claimed {
			client = ""
		}
		requests.Add(strings.Join([]string{string(e.Op), cmp.Or(string(e.Reason), "ok"), client}, ","), 1)
		seconds.AddFloat(string(e.Op), e.Duration.Seconds())
	}

	// This is the Observe of issuer.Config, middleware.Config and so on.
	for _, e := range []event.Event{
		{Op: event.OpToken, ClientID: "reports", Duration: 500 * time.Millisecond},
		{Op: event.OpToken, ClientID: "anything", Claimed: true, Reason: event.UnknownClient},
		{Op: event.OpRequest, ClientID: "reports", Duration: 250 * time.Millisecond},
		{Op: event.OpRequest, ClientID: "reports", Duration: 250 * time.Millisecond},
	} {
		observe(context.Background(), e)
	}
	fmt.Println(requests.String())
	fmt.Println(seconds.String())
	// Output:
	// {"request,ok,reports": 2, "token,ok,reports": 1, "token,unknown_client,": 1}
	// {"request": 0.5, "token": 0.5}
}
