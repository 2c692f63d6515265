package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// scope is the name of this instrumentation.
const scope = "github.com/echo-m2m/m2m/example/telemetry"

// toOpenTelemetry records events in instruments, and reads gauges at each
// collection.
type toOpenTelemetry struct {
	counters   map[*definition]metric.Int64Counter
	histograms map[*definition]metric.Float64Histogram
}

func newOpenTelemetry(meters metric.MeterProvider, read func(sample)) (*toOpenTelemetry, error) {
	meter := meters.Meter(scope)
	o := &toOpenTelemetry{counters: map[*definition]metric.Int64Counter{}, histograms: map[*definition]metric.Float64Histogram{}}
	var failed []error
	for _, m := range ofEvents() {
		var err error
		if m.kind == histogram {
			o.histograms[m], err = meter.Float64Histogram(m.name,
				metric.WithDescription(m.help), metric.WithUnit(m.unit), metric.WithExplicitBucketBoundaries(bounds...))
		} else {
			o.counters[m], err = meter.Int64Counter(m.name, metric.WithDescription(m.help), metric.WithUnit(m.unit))
		}
		failed = append(failed, err)
	}
	gauges := map[*definition]metric.Float64Observable{}
	var observed []metric.Observable
	for _, m := range ofStatus() {
		g, err := observable(meter, m)
		gauges[m], observed, failed = g, append(observed, g), append(failed, err)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		read(func(m *definition, name string, value float64) {
			to.ObserveFloat64(gauges[m], value, attributes(m, name))
		})
		return nil
	}, observed...)
	if err := errors.Join(append(failed, err)...); err != nil {
		return nil, fmt.Errorf("telemetry: OpenTelemetry: %w", err)
	}
	return o, nil
}

// observable makes the instrument of a metric that is read from a Status.
func observable(meter metric.Meter, m *definition) (metric.Float64Observable, error) {
	if m.kind == counter {
		return meter.Float64ObservableCounter(m.name, metric.WithDescription(m.help), metric.WithUnit(m.unit))
	}
	return meter.Float64ObservableGauge(m.name, metric.WithDescription(m.help), metric.WithUnit(m.unit))
}

func (o *toOpenTelemetry) add(ctx context.Context, m *definition, n int, values ...string) {
	o.counters[m].Add(ctx, int64(n), attributes(m, values...))
}

func (o *toOpenTelemetry) measure(ctx context.Context, m *definition, took time.Duration, values ...string) {
	o.histograms[m].Record(ctx, took.Seconds(), attributes(m, values...))
}

// attributes are the labels of a metric that have a value. Prometheus, too, has an
// empty one mean none.
func attributes(m *definition, values ...string) metric.MeasurementOption {
	var set []attribute.KeyValue
	for i, value := range values {
		if value != "" {
			set = append(set, attribute.String(m.labels[i], value))
		}
	}
	return metric.WithAttributeSet(attribute.NewSet(set...))
}
