package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/echo-m2m/m2m/jwks/event"
)

// trace makes the event one of the recorded span in ctx. Of what happens in the
// background it makes a span, if the Config asks for it.
func (t *Telemetry) trace(ctx context.Context, e *event.Event) {
	name := "m2m." + opLabel(e.Op)
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent(name, trace.WithAttributes(spanAttributes(e)...))
		return
	}
	if t.tracer == nil || classOf(e) != &backgroundEvents || trace.SpanContextFromContext(ctx).IsValid() { // not sampled
		return
	}
	ended := time.Now()
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(ended.Add(-e.Duration)), trace.WithAttributes(spanAttributes(e)...))
	if e.Reason != "" {
		span.SetStatus(codes.Error, string(e.Reason))
	}
	span.End(trace.WithTimestamp(ended))
}

// spanAttributes are the fields that the log has.
func spanAttributes(e *event.Event) []attribute.KeyValue {
	var set []attribute.KeyValue
	for _, a := range e.LogValue().Group() {
		key := attribute.Key("m2m." + a.Key)
		switch v := a.Value; v.Kind() {
		case slog.KindInt64:
			set = append(set, key.Int64(v.Int64()))
		case slog.KindDuration:
			set = append(set, key.Float64(v.Duration().Seconds()))
		case slog.KindAny:
			if texts, ok := v.Any().([]string); ok {
				set = append(set, key.StringSlice(texts))
			}
		default:
			set = append(set, key.String(v.String()))
		}
	}
	return set
}
