package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Config says where events go. Every field is optional; a target that is nil gets
// nothing.
type Config struct {
	// Prometheus gets the metrics, such as prometheus.NewRegistry() or
	// prometheus.DefaultRegisterer.
	Prometheus prometheus.Registerer

	// Meters get the same metrics by OpenTelemetry, such as otel.GetMeterProvider().
	Meters metric.MeterProvider

	// Logger gets refusals and failures as warnings, operators' actions and changes
	// of what happens in the background as information, and all else as debug
	// lines. Of what callers can cause it gets 10 lines a second at most, and the
	// number of those left out. It names also clients that did not authenticate,
	// as claimed_client_id.
	Logger *slog.Logger

	// Tracers make a span of each event of the background, such as a fetch of keys,
	// that lies in no other span. Whether it is set or not, an event whose context has
	// a recorded span becomes an event of that span. Default: no span is made.
	Tracers trace.TracerProvider

	// MaxClients is how many clients have a label of their own, the first ones that
	// authenticate. The others share the label "other". Default 100; negative:
	// none has one.
	MaxClients int
}

// Telemetry is an observer of events and a reader of states. It is safe for
// concurrent use. New makes one: a nil or zero Telemetry ignores events.
type Telemetry struct {
	clients *clients
	targets []recorder
	log     *logger
	tracer  trace.Tracer // nil: no span is made

	mu      sync.Mutex
	sources []Sources
}

// recorder is a target of metrics.
type recorder interface {
	add(ctx context.Context, m *definition, n int, values ...string)
	measure(ctx context.Context, m *definition, took time.Duration, values ...string)
}

// New returns a Telemetry. It fails when a target refuses a metric, as Prometheus
// does when a Registerer has them already.
func New(c Config) (*Telemetry, error) {
	limit := c.MaxClients
	if limit == 0 {
		limit = 100
	}
	t := &Telemetry{clients: &clients{limit: limit, names: map[string]bool{}}, log: newLogger(c.Logger)}
	var failed error
	if c.Prometheus != nil {
		to, err := newPrometheus(c.Prometheus, t.read)
		t.targets, failed = append(t.targets, to), err
	}
	if c.Meters != nil {
		to, err := newOpenTelemetry(c.Meters, t.read)
		t.targets, failed = append(t.targets, to), errors.Join(failed, err)
	}
	if failed != nil {
		return nil, failed
	}
	for op, reasons := range expected {
		for _, r := range reasons {
			for _, to := range t.targets {
				to.add(context.Background(), &backgroundEvents, 0, string(op), reasonLabel(r))
			}
		}
	}
	if c.Tracers != nil {
		t.tracer = c.Tracers.Tracer(scope)
	}
	return t, nil
}

// expected are the events of the background that can happen. Their counters begin at
// 0: a rate does not show the first event of a counter that did not exist.
var expected = map[event.Op][]event.Reason{
	event.OpRotateKey: {"", event.KeysUnavailable, event.StoreUnavailable},
	event.OpKeyStore:  {"", event.StoreUnavailable, event.KeysNotWritten, event.ClockOff, event.StateOlder, event.StateForeign, event.KeysExposed},
	event.OpFetch:     {"", event.FetchFailed, event.KeysUnavailable, event.KeySkipped},
	event.OpFollow:    {"", event.StoreUnavailable, event.ClockOff, event.StateOlder},
	event.OpRecord:    {"", event.StoreUnavailable},
	event.OpConfig:    {event.ProxyUnknown, event.Misconfigured},

	event.OpFetchToken: {"", event.FetchFailed, event.TokenUnavailable, event.CredentialRefused, event.SecretUnreadable, event.InvalidScope, event.InvalidTarget},
	event.OpReplay:     {event.TokenRefused},
}

func (t *Telemetry) made() bool { return t != nil && t.clients != nil }

// Observe takes an event of any room: it is the Observe of issuer.Config,
// admin.Config, bearer.Config, outbound.Config, jwks.Policy and jwks.RemoteConfig. It does
// no I/O but what the Logger and the span processors do.
func (t *Telemetry) Observe(ctx context.Context, e event.Event) {
	if !t.made() {
		return
	}
	t.record(ctx, &e)
	t.trace(ctx, &e)
	t.log.write(ctx, &e)
}

// record counts the event and takes its time.
func (t *Telemetry) record(ctx context.Context, e *event.Event) {
	if len(t.targets) == 0 {
		return
	}
	op, reason, code, status := opLabel(e.Op), reasonLabel(e.Reason), codeLabel(e.Code), statusLabel(e.Status)
	client := ""
	class := classOf(e)
	if class == &requests {
		client = t.clients.label(e)
	}
	for _, to := range t.targets {
		switch class {
		case &requests:
			to.add(ctx, class, 1, op, client, reason, code, status)
		case &operatorActions:
			to.add(ctx, class, 1, op, reason, code, status)
		default:
			to.add(ctx, class, 1, op, reason)
		}
		if e.Duration > 0 {
			to.measure(ctx, &durations, e.Duration, op, outcomeLabel(e))
		}
	}
}

// classOf returns the counter of an event.
func classOf(e *event.Event) *definition {
	switch e.Op {
	case event.OpToken, event.OpIntrospect, event.OpRequest:
		return &requests
	case event.OpRevoke:
		if e.Status == 0 { // by the program
			return &operatorActions
		}
		return &requests
	case event.OpRegister, event.OpUpdate, event.OpDelete, event.OpRead, event.OpRotateSecret, event.OpAddSecret, event.OpRemoveSecret, event.OpRevokeClient:
		return &operatorActions
	default:
		return &backgroundEvents
	}
}
