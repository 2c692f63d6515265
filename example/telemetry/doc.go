// Package telemetry is an observer for every package of m2m. It passes their events to
// log/slog, to OpenTelemetry (metrics and traces) and to Prometheus, and it reads
// their Status whenever metrics are collected. It is a module of its own, so that
// the library depends on none of these.
//
// Make one [Telemetry] for the process, give its Observe to every Config, and call
// Collect once the parts are made:
//
//	tele, err := telemetry.New(telemetry.Config{
//		Prometheus: registry,                 // or nil
//		Meters:     otel.GetMeterProvider(),  // or nil
//		Logger:     slog.Default(),           // or nil
//	})
//
//	jwks.Policy{…, Observe: tele.Observe}
//	issuer.Config{…, Observe: tele.Observe}
//	admin.Config{…, Observe: tele.Observe}
//	jwks.RemoteConfig{…, Observe: tele.Observe}
//	bearer.Config{…, Observe: tele.Observe}
//
//	err = tele.Collect(telemetry.Sources{Issuer: iss, Store: store, Bearer: auth})
//
// A bearer.Config whose Keys are nil reports the fetches of keys too.
//
// # Labels
//
// Every label has a bounded number of values. The label client is the id of a client
// that has authenticated or presented a token of good signature. For a caller that
// has not, it is empty: a claimed id is never a label. The first [Config.MaxClients]
// clients have a label of their own, the others share "other". A client whose id is
// "other" is counted there too. The labels op and reason are the lists of package event,
// with reason "ok" when nothing was refused. A code that an app made up is "other".
//
// # Metrics
//
// They are named for OpenTelemetry, such as m2m.requests. In Prometheus dots are
// underscores, seconds end in _seconds and counters in _total, so the same names
// result whether Prometheus scrapes the registry or gets them from OpenTelemetry. Beside
// this file are a dashboard for Grafana (dashboard.json) and alert rules for
// Prometheus (alerts.yaml); the page .github/docs/telemetry.md explains each metric.
package telemetry
