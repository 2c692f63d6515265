package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// toPrometheus records events in vectors, and reads gauges at each scrape.
type toPrometheus struct {
	counters   map[*definition]*prometheus.CounterVec
	histograms map[*definition]*prometheus.HistogramVec
	gauges     map[*definition]*prometheus.Desc
	read       func(sample)
}

func newPrometheus(registerer prometheus.Registerer, read func(sample)) (*toPrometheus, error) {
	p := &toPrometheus{
		counters:   map[*definition]*prometheus.CounterVec{},
		histograms: map[*definition]*prometheus.HistogramVec{},
		gauges:     map[*definition]*prometheus.Desc{},
		read:       read,
	}
	for _, m := range ofEvents() {
		if m.kind == histogram {
			p.histograms[m] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.prometheus(), Help: m.help, Buckets: bounds}, m.labels)
		} else {
			p.counters[m] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.prometheus(), Help: m.help}, m.labels)
		}
	}
	for _, m := range ofStatus() {
		p.gauges[m] = prometheus.NewDesc(m.prometheus(), m.help, m.labels, nil)
	}
	if err := registerer.Register(p); err != nil {
		return nil, fmt.Errorf("telemetry: Prometheus: %w", err)
	}
	return p, nil
}

// Describe implements prometheus.Collector.
func (p *toPrometheus) Describe(to chan<- *prometheus.Desc) {
	for _, vec := range p.counters {
		vec.Describe(to)
	}
	for _, vec := range p.histograms {
		vec.Describe(to)
	}
	for _, desc := range p.gauges {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (p *toPrometheus) Collect(to chan<- prometheus.Metric) {
	for _, vec := range p.counters {
		vec.Collect(to)
	}
	for _, vec := range p.histograms {
		vec.Collect(to)
	}
	p.read(func(m *definition, name string, value float64) {
		is := prometheus.GaugeValue
		if m.kind == counter {
			is = prometheus.CounterValue
		}
		if point, err := prometheus.NewConstMetric(p.gauges[m], is, value, name); err == nil {
			to <- point
		} else {
			to <- prometheus.NewInvalidMetric(p.gauges[m], err)
		}
	})
}

func (p *toPrometheus) add(_ context.Context, m *definition, n int, values ...string) {
	if c, err := p.counters[m].GetMetricWithLabelValues(values...); err == nil {
		c.Add(float64(n))
	}
}

func (p *toPrometheus) measure(_ context.Context, m *definition, took time.Duration, values ...string) {
	if h, err := p.histograms[m].GetMetricWithLabelValues(values...); err == nil {
		h.Observe(took.Seconds())
	}
}
