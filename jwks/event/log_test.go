package event

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLogNamesEveryField(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })

	e := Event{
		Op: OpFollow, Reason: StoreUnavailable, Status: 503, Code: "temporarily_unavailable", ClientID: "reporter", TokenID: "jti-1",
		SecretID: "s1", Audience: []string{"https://api.example"}, Scopes: []string{"orders:read"}, Target: "other", KeyID: "k1",
		URL: "https://auth.example/jwks", Duration: 3 * time.Second, Err: errors.New("no answer"),
	}
	for i := range reflect.TypeFor[Event]().NumField() {
		if f := reflect.TypeFor[Event]().Field(i); f.Name != "Claimed" && reflect.ValueOf(e).Field(i).IsZero() {
			t.Errorf("this test does not set %s", f.Name)
		}
	}
	Background(nil, false)(context.Background(), e)
	for _, want := range []string{
		"level=WARN", "msg=feed.follow", "reason=store_unavailable", "status=503", "code=temporarily_unavailable", "client_id=reporter",
		"token_id=jti-1", "secret_id=s1", "https://api.example", "orders:read", "target=other", "key_id=k1", "url=https://auth.example/jwks",
		"duration=3s", `error="no answer"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}

	out.Reset()
	Background(nil, false)(context.Background(), Event{Op: OpFollow, ClientID: "x", Claimed: true})
	if got := out.String(); !strings.Contains(got, "level=INFO") || !strings.Contains(got, "claimed_client_id=x") || strings.Contains(got, "reason") ||
		!strings.Contains(got, `state="works again"`) {
		t.Errorf("logged %s", got)
	}
}

func TestBackground(t *testing.T) {
	if Background(nil, true) != nil {
		t.Error("a quiet room without an observer has one")
	}
	heard := 0
	observe := func(context.Context, Event) { heard++ }
	Background(observe, true)(context.Background(), Event{})
	if heard != 1 {
		t.Error("Quiet silenced the observer")
	}
}
