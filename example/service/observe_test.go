package service

import (
	"bytes"
	"errors"
	"log"
	"os"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"github.com/echo-m2m/m2m/jwks/event"
)

func TestObserve(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	o := observer{lines: rate.NewLimiter(0, 2)}
	for _, e := range []event.Event{
		{Op: event.OpToken, Status: 200, ClientID: "good"},
		{Op: event.OpRequest, ClientID: "good"},
		{Op: event.OpRead, Status: 200, ClientID: "good"},
		{Op: event.OpToken, Status: 401, Reason: event.WrongSecret, ClientID: "first"},
		{Op: event.OpRequest, Status: 401, Reason: event.NoToken, ClientID: "second"},
		{Op: event.OpRequest, Status: 401, Reason: event.NoToken, ClientID: "third"},
		{Op: event.OpRequest, Status: 401, Reason: event.NoToken, ClientID: "third"},
		{Op: event.OpDelete, Status: 200, Target: "deleted"},
		{Op: event.OpFollow, Reason: event.StoreUnavailable, Err: errors.New("away")},
		{Op: event.OpFollow},
		{Op: event.OpKeyStore, Reason: event.StateForeign, Err: errors.New("the keys of another keyring")},
	} {
		o.log(t.Context(), e)
	}
	o.lines.SetBurst(0)
	o.lines.SetLimit(rate.Inf)
	o.log(t.Context(), event.Event{Op: event.OpRevoke, ClientID: "revoker"})
	got := logged.String()
	for _, want := range []string{"wrong_secret", "second", "admin.delete", "away", "INFO feed.follow", "works again", "keyring (in this program that is SIGUSR2", "events=2", "revoker"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "good") || strings.Contains(got, "third") {
		t.Errorf("the log has too much:\n%s", got)
	}
}
