package event_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Log writes to the default logger of package slog.
func ExampleLog() {
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	event.Log(context.Background(), event.Event{
		Op: event.OpToken, Reason: event.WrongSecret, Status: 401, Code: "invalid_client", ClientID: "reports", Claimed: true,
		Err: errors.New("issuer: the secret is wrong"),
	})
	// Output:
	// level=WARN msg=token reason=wrong_secret status=401 code=invalid_client claimed_client_id=reports error="issuer: the secret is wrong"
}

// An observer that counts refusals by Op and Reason, which come from closed lists.
func ExampleEvent() {
	refusals := map[string]int{}
	observe := func(_ context.Context, e event.Event) {
		if e.Reason != "" {
			refusals[string(e.Op)+" "+string(e.Reason)]++
		}
	}
	observe(context.Background(), event.Event{Op: event.OpRequest, ClientID: "reports"})
	observe(context.Background(), event.Event{Op: event.OpRequest, Reason: event.Expired, ClientID: "reports"})
	observe(context.Background(), event.Event{Op: event.OpRequest, Reason: event.Expired, ClientID: "orders"})
	fmt.Println(refusals)
	// Output: map[request expired:2]
}
