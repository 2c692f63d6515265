package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/echo-m2m/m2m/example/telemetry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// observed is a Telemetry and what Prometheus gets of it.
func observed(t *testing.T, c telemetry.Config) (*telemetry.Telemetry, *world) {
	t.Helper()
	prom := prometheus.NewRegistry()
	c.Prometheus = prom
	tele, err := telemetry.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return tele, &world{t: t, scrape: promhttp.HandlerFor(prom, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})}
}

// TestClosedLists observes every Op and every Reason, each of which has a value of
// its own, and values of no list, which share one.
func TestClosedLists(t *testing.T) {
	tele, w := observed(t, telemetry.Config{})
	before := len(w.series())
	for _, op := range append(declaredOps(t), "made.up", "made.up.too") {
		for _, reason := range append(event.Reasons(), "", "made_up", "made_up_too") {
			tele.Observe(t.Context(), event.Event{Op: op, Reason: reason, Duration: time.Millisecond})
		}
	}
	seen := map[string]bool{}
	for s, value := range w.series() {
		if l := labels(s); value > 0 && l["reason"] != "" {
			seen[l["op"]], seen[l["reason"]] = true, true
		}
	}
	for _, op := range declaredOps(t) {
		if !seen[string(op)] {
			t.Errorf("%s is not counted", op)
		}
	}
	for _, reason := range append(event.Reasons(), "ok", "other") {
		if !seen[string(reason)] {
			t.Errorf("%s is not counted", reason)
		}
	}
	if seen["made.up"] || seen["made_up"] {
		t.Error("a value of no list is a label")
	}

	after := len(w.series())
	for i := range 10_000 {
		tele.Observe(t.Context(), event.Event{
			Op: event.OpRequest, Reason: event.Forbidden, Code: fmt.Sprint("code-", i), Status: 1000 + i,
			ClientID: fmt.Sprint("claimed-", i), Claimed: true,
		})
	}
	if grown := len(w.series()) - after; grown != 1 {
		t.Errorf("10 000 made-up codes, status and claimed clients made %d series (there were %d, then %d)", grown, before, after)
	}
}

// TestMaxClients has more clients than get a label, from several goroutines.
func TestMaxClients(t *testing.T) {
	for limit, want := range map[int]int{0: 100, 3: 3, -1: 0} {
		tele, w := observed(t, telemetry.Config{MaxClients: limit})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range 1000 {
					tele.Observe(t.Context(), event.Event{Op: event.OpToken, Status: 200, ClientID: fmt.Sprint("client-", i)})
				}
			})
		}
		all.Wait()
		named, total, others := 0, 0.0, 0.0
		for s, value := range w.series() {
			switch client := labels(s)["client"]; {
			case client == "other":
				others = value
				total += value
			case client != "":
				named++
				total += value
			}
		}
		if named != want || total != 4000 || others != float64(4*(1000-want)) {
			t.Errorf("MaxClients %d: %d clients have a label, others %v, total %v", limit, named, others, total)
		}
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	tele, err := telemetry.New(telemetry.Config{Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	see := func(e event.Event) string {
		out.Reset()
		tele.Observe(t.Context(), e)
		return out.String()
	}
	for want, e := range map[string]event.Event{
		"":                           {Op: event.OpToken, Status: 200, ClientID: "reporter"},
		"level=INFO msg=revoke":      {Op: event.OpRevoke, Status: 200, ClientID: "reporter"},
		"level=INFO msg=admin.delet": {Op: event.OpDelete, Target: "reporter"},
		"level=INFO msg=key.rotate":  {Op: event.OpRotateKey, KeyID: "k2"},
		"level=WARN msg=feed.follow": {Op: event.OpFollow, Reason: event.StoreUnavailable, Err: errors.New("no answer")},
		"claimed_client_id=guessed":  {Op: event.OpToken, Reason: event.WrongSecret, Status: 401, ClientID: "guessed", Claimed: true},
	} {
		if got := see(e); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%+v: logged %q, want %q", e, got, want)
		}
	}

	lines := 0
	for range 1000 {
		lines += strings.Count(see(event.Event{Op: event.OpRequest, Reason: event.NoToken, Status: 401}), "\n")
	}
	if lines < 40 || lines > 100 {
		t.Errorf("a flood of 1000 refusals wrote %d lines", lines)
	}
	if got := see(event.Event{Op: event.OpRotateKey, KeyID: "k3"}); got == "" {
		t.Error("a flood silences the background")
	}
}

func TestTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	tele, err := telemetry.New(telemetry.Config{Tracers: tracers})
	if err != nil {
		t.Fatal(err)
	}
	ctx, request := tracers.Tracer("test").Start(t.Context(), "GET /orders")
	refused := event.Event{
		Op: event.OpRequest, Reason: event.Expired, Status: 401, ClientID: "reporter", TokenID: "jti-1", Scopes: []string{"orders:read"},
		Duration: time.Millisecond, Err: errors.New("exp has passed"),
	}
	tele.Observe(ctx, refused)
	request.End()
	tele.Observe(t.Context(), refused) // no span, and none is made of a request
	tele.Observe(t.Context(), event.Event{Op: event.OpFetch, Reason: event.FetchFailed, Duration: time.Second, URL: "https://auth.example.com"})

	ended := spans.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans", len(ended))
	}
	events := ended[0].Events()
	if len(events) != 1 || events[0].Name != "m2m.request" {
		t.Fatalf("the request's span has the events %v", events)
	}
	got := map[string]string{}
	for _, a := range events[0].Attributes {
		got[string(a.Key)] = a.Value.String()
	}
	for key, want := range map[string]string{
		"m2m.reason": "expired", "m2m.status": "401", "m2m.client_id": "reporter", "m2m.token_id": "jti-1",
		"m2m.scopes": `["orders:read"]`, "m2m.duration": "0.001", "m2m.error": "exp has passed",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	fetch := ended[1]
	if took := fetch.EndTime().Sub(fetch.StartTime()); fetch.Name() != "m2m.key.fetch" || took != time.Second || fetch.Status().Code != codes.Error {
		t.Errorf("the fetch is the span %s of %v, %v", fetch.Name(), took, fetch.Status())
	}
}

// TestUnusable has a zero Telemetry ignore events, and New and Collect refuse what
// would be counted twice.
func TestUnusable(t *testing.T) {
	var missing *telemetry.Telemetry
	for _, tele := range []*telemetry.Telemetry{missing, {}} {
		tele.Observe(context.Background(), event.Event{Op: event.OpToken})
		if tele.Collect(telemetry.Sources{}) == nil {
			t.Error("a Telemetry that New did not make collects")
		}
	}
	prom := prometheus.NewRegistry()
	tele, err := telemetry.New(telemetry.Config{Prometheus: prom})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := telemetry.New(telemetry.Config{Prometheus: prom}); err == nil {
		t.Error("one registry has two")
	}
	if err := tele.Collect(telemetry.Sources{Name: "a"}); err != nil {
		t.Error(err)
	}
	if err := tele.Collect(telemetry.Sources{Name: "a"}); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("two Sources have one name: %v", err)
	}
}

// BenchmarkObserve is what a request to a guarded route pays.
func BenchmarkObserve(b *testing.B) {
	tele, err := telemetry.New(telemetry.Config{Prometheus: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	e := event.Event{Op: event.OpRequest, ClientID: "reporter", TokenID: "jti-1", Duration: time.Microsecond}
	for b.Loop() {
		tele.Observe(b.Context(), e)
	}
}
