package telemetry

import "strings"

// kind is how the values of a metric relate to each other.
type kind int

const (
	counter   kind = iota // a sum of events, or one that a Status keeps
	histogram             // a distribution of seconds
	gauge                 // a value of a Status, read when metrics are collected
)

// definition is the definition of one metric, for both targets.
type definition struct {
	name   string // in OpenTelemetry
	kind   kind
	unit   string // "s", or what is counted in braces
	help   string
	labels []string
}

// prometheus is its name there. OpenTelemetry's own exporters to Prometheus make
// the same of it, so one dashboard serves both ways.
func (m *definition) prometheus() string {
	name := strings.ReplaceAll(m.name, ".", "_")
	if m.unit == "s" {
		name += "_seconds"
	}
	if m.kind == counter {
		name += "_total"
	}
	return name
}

// The metrics of events.
var (
	requests = definition{
		"m2m.requests", counter, "{request}", "Requests to the issuer's endpoints and to guarded routes, by client and outcome.",
		[]string{"op", "client", "reason", "code", "status"},
	}
	operatorActions = definition{
		"m2m.operator.actions", counter, "{action}", "Actions of operators: the admin API, and revocations by the program.",
		[]string{"op", "reason", "code", "status"},
	}
	backgroundEvents = definition{
		"m2m.background.events", counter, "{event}", "Key rotations, fetches of key sets, and changes of what happens in the background.",
		[]string{"op", "reason"},
	}
	durations = definition{
		"m2m.duration", histogram, "s", "How long operations took. Of guarded routes it is the check alone, without the handler.",
		[]string{"op", "outcome"},
	}
)

// bounds are the upper bounds of the histogram, in seconds. A cached token is
// checked in microseconds, a signature in tens or hundreds of them, and a store or
// an issuer answers in milliseconds or not at all.
var bounds = []float64{5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 2.5, 5}

// ofEvents returns the metrics that Observe counts.
func ofEvents() []*definition {
	return []*definition{&requests, &operatorActions, &backgroundEvents, &durations}
}
