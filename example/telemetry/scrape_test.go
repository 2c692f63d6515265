package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// traffic sends requests of callers and operators, valid and invalid, and has parts fail.
func (w *world) traffic() {
	t := w.t
	want := func(what string, got, status int) {
		t.Helper()
		if got != status {
			w.mu.Lock()
			defer w.mu.Unlock()
			t.Errorf("%s: %d, want %d (%s %s %v)", what, got, status, w.last.Op, w.last.Reason, w.last.Err)
		}
	}
	granted := func(client string, more ...string) string {
		t.Helper()
		status, token := w.grant(client, more...)
		want("a grant to "+client, status, http.StatusOK)
		return token
	}
	refused := func(what string, status int, client string, more ...string) {
		t.Helper()
		got, _ := w.grant(client, more...)
		want(what, got, status)
	}

	short := granted("hasty") // it expires while the rest goes on
	expires := time.Now().Add(2100 * time.Millisecond)
	token := granted("reporter")
	for range 4 {
		want("a good request", call(w.local, token), 200)
	}
	want("a good request elsewhere", call(w.remote, token), 200)
	want("no token", call(w.local, ""), 401)
	want("no JWS", call(w.local, "x.y"), 401)
	want("another signature", call(w.local, token[:strings.LastIndexByte(token, '.')+1]+strings.Repeat("A", 86)), 401)
	want("too few scopes", call(w.local, granted("poor")), 403)
	want("for another API", call(w.local, granted("elsewhere")), 401)
	want("for another API, elsewhere", call(w.remote, granted("elsewhere")), 401)

	refused("an unknown scope", 400, "reporter", "scope", "orders:delete")
	refused("another API", 400, "reporter", "resource", "https://other.example.com")
	refused("another grant", 400, "reporter", "grant_type", "password")
	refused("a disabled client", 401, "off")
	refused("an unknown client", 401, "nobody-of-this-name", "client_secret", w.secrets["reporter"])
	refused("a wrong method", 401, "basic")
	status, _ := w.post("/token", map[string][]string{"grant_type": {"client_credentials"}}, "")
	want("no credential", status, 401)
	status, _ = w.post("/token", map[string][]string{"grant_type": {"client_credentials", "twice"}}, "")
	want("a malformed request", status, 400)
	for _, tooMany := range [][]string{{"poor", "client_secret", "guessed"}, {"hasty"}} {
		for range 30 {
			if status, _ := w.grant(tooMany[0], tooMany[1:]...); status == http.StatusTooManyRequests {
				break
			}
		}
	}

	status, _ = w.post("/introspect", w.form("api", "token", token), "")
	want("an introspection", status, 200)
	status, _ = w.post("/revoke", w.form("basic", "token", token), "")
	want("a revocation by a wrong method", status, 401)
	status, _ = w.post("/revoke", w.form("elsewhere", "token", token), "")
	want("a revocation of another's token", status, 400)
	status, _ = w.post("/revoke", w.form("reporter", "token", token), "")
	want("a revocation", status, 200)
	for range 3 {
		want("a revoked token", call(w.local, token), 401)
	}
	time.Sleep(5 * time.Millisecond) // CacheFor
	want("a revoked token elsewhere", call(w.remote, token), 401)

	want("registering", w.manage("POST", "/clients", `{"client_id":"new"}`), 201)
	want("registering twice", w.manage("POST", "/clients", `{"client_id":"new"}`), 409)
	want("a bad client", w.manage("POST", "/clients", `{"client_id":"bad","scope":"\""}`), 400)
	want("reading", w.manage("GET", "/clients/new", ""), 200)
	want("reading nobody", w.manage("GET", "/clients/nobody", ""), 404)
	want("another secret", w.manage("POST", "/clients/new/secrets", `{}`), 201)
	want("revoking", w.manage("POST", "/clients/new/revoke", ""), 200)
	want("deleting", w.manage("DELETE", "/clients/new", ""), 200)
	if err := w.issuer.RevokeClient(t.Context(), "reporter"); err != nil {
		t.Error(err)
	}

	time.Sleep(time.Until(expires))
	want("an expired token", call(w.local, short), 401)
	late := granted("reporter")
	if err := w.keys.Rotate(t.Context()); err != nil {
		t.Error(err)
	}
	want("a token of a dropped key", call(w.local, late), 401)

	gone := httptest.NewServer(nil)
	gone.Close()
	nowhere := jwks.NewRemote(gone.URL, jwks.RemoteConfig{Observe: w.observe})
	if nowhere.Ready(t.Context()) == nil {
		t.Error("keys were fetched from nowhere")
	}
	_ = nowhere.Close()

	last := granted("reporter")
	want("the next key, elsewhere", call(w.remote, last), 200)
	time.Sleep(5 * time.Millisecond) // CacheFor
	w.away.Store(true)
	want("an issuer that is away", call(w.remote, last), 503)
}

var metricName = regexp.MustCompile(`^m2m_[a-z_]+`)

// base is the name of the metric of a series.
func base(series string) string {
	name := metricName.FindString(series)
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if cut, ok := strings.CutSuffix(name, suffix); ok && strings.HasSuffix(cut, "_seconds") {
			return cut
		}
	}
	return name
}

var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

func labels(series string) map[string]string {
	found := map[string]string{}
	for _, pair := range label.FindAllStringSubmatch(series, -1) {
		found[pair[1]] = pair[2]
	}
	return found
}

// TestTraffic has a real issuer and real guards report, and compares the metrics,
// the documents and the log with what happened.
func TestTraffic(t *testing.T) {
	w := newWorld(t)
	w.traffic()
	series := w.series()
	t.Run("every event is counted", func(t *testing.T) { w.checkCounts(t, series) })
	t.Run("an operator's questions", func(t *testing.T) { checkQuestions(t, series) })
	t.Run("OpenTelemetry has the same", func(t *testing.T) { w.checkOpenTelemetry(t, series) })
	t.Run("documents", func(t *testing.T) { checkDocuments(t, series) })
}

func (w *world) checkCounts(t *testing.T, series map[string]float64) {
	counted := map[[2]string]int{}
	for s, value := range series {
		switch base(s) {
		case "m2m_requests_total", "m2m_operator_actions_total", "m2m_background_events_total":
			l := labels(s)
			counted[[2]string{l["op"], l["reason"]}] += int(value)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, n := range w.seen {
		if counted[what] != n {
			t.Errorf("%q happened %d times, counted were %d", what, n, counted[what])
		}
	}
	for what, n := range counted {
		if w.seen[what] != n {
			t.Errorf("%q was counted %d times, and happened %d times", what, n, w.seen[what])
		}
	}
	for _, reason := range []event.Reason{
		event.NoToken, event.MalformedToken, event.BadSignature, event.UnknownKey, event.WrongAudience, event.Expired, event.Revoked, event.InsufficientScope,
		event.MalformedRequest, event.NoCredential, event.UnknownClient, event.ClientDisabled, event.WrongSecret, event.WrongMethod, event.LockedOut,
		event.UnsupportedGrantType, event.InvalidScope, event.InvalidTarget, event.ForeignToken, event.TooManyGrants,
		event.InvalidClient, event.NotFound, event.Conflict, event.KeysUnavailable, event.RevocationsUnavailable,
	} {
		n := 0
		for what, times := range w.seen {
			if what[1] == string(reason) {
				n += times
			}
		}
		if n == 0 {
			t.Errorf("the traffic did not cause %s", reason)
		}
	}
}

func checkQuestions(t *testing.T, series map[string]float64) {
	for line, want := range map[string]float64{
		`m2m_requests_total{client="reporter",code="",op="token",reason="ok",status="200"}`:                                               3,
		`m2m_requests_total{client="reporter",code="",op="request",reason="ok",status=""}`:                                                6,
		`m2m_requests_total{client="reporter",code="invalid_token",op="request",reason="revoked",status="401"}`:                           4,
		`m2m_requests_total{client="hasty",code="invalid_token",op="request",reason="expired",status="401"}`:                              1,
		`m2m_requests_total{client="reporter",code="",op="revoke",reason="ok",status="200"}`:                                              1,
		`m2m_requests_total{client="",code="invalid_client",op="token",reason="wrong_secret",status="401"}`:                               2,
		`m2m_operator_actions_total{code="",op="revoke",reason="ok",status=""}`:                                                           2,
		`m2m_operator_actions_total{code="",op="admin.register",reason="ok",status="201"}`:                                                1,
		`m2m_background_events_total{op="key.rotate",reason="ok"}`:                                                                        1,
		`m2m_background_events_total{op="key.fetch",reason="keys_unavailable"}`:                                                           1,
		`m2m_requests_total{client="reporter",code="temporarily_unavailable",op="request",reason="revocations_unavailable",status="503"}`: 1,
		`m2m_issuer_following{name=""}`:                    1,
		`m2m_keyring_signing{name=""}`:                     1,
		`m2m_bearer_revocations_failing{name="elsewhere"}`: 1,
		`m2m_bearer_revocations_failing{name=""}`:          0,
		`m2m_remote_keys{name="elsewhere"}`:                2,
	} {
		if got, ok := series[line]; !ok || got != want {
			t.Errorf("%s: %v (exported: %v), want %v", line, got, ok, want)
		}
	}
	for s := range series {
		if client := labels(s)["client"]; client == "nobody-of-this-name" || client == "poor" && labels(s)["reason"] == "wrong_secret" {
			t.Errorf("a claimed client is a label: %s", s)
		}
	}
}

func (w *world) checkOpenTelemetry(t *testing.T, series map[string]float64) {
	var collected metricdata.ResourceMetrics
	if err := w.reader.Collect(context.Background(), &collected); err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for s := range series {
		exported[base(s)] = true
	}
	if len(collected.ScopeMetrics) != 1 {
		t.Fatalf("%d scopes", len(collected.ScopeMetrics))
	}
	found := 0
	for _, m := range collected.ScopeMetrics[0].Metrics {
		name := strings.ReplaceAll(m.Name, ".", "_")
		if m.Unit == "s" {
			name += "_seconds"
		}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			name += "_total"
			for _, point := range data.DataPoints {
				matched := false
				for s, value := range series {
					if base(s) != name || value != float64(point.Value) {
						continue
					}
					same := true
					for key, value := range labels(s) {
						v, ok := point.Attributes.Value(attribute.Key(key))
						same = same && ok == (value != "") && (!ok || v.AsString() == value)
					}
					matched = matched || same
				}
				if !matched {
					t.Errorf("Prometheus has no %s with %v and %d", name, point.Attributes.ToSlice(), point.Value)
				}
			}
		case metricdata.Histogram[float64]:
			for _, point := range data.DataPoints {
				if len(point.Bounds) != 17 {
					t.Errorf("%s has the bounds %v", m.Name, point.Bounds)
				}
			}
		case metricdata.Gauge[float64]:
		case metricdata.Sum[float64]: // of a Status
			name += "_total"
			for _, point := range data.DataPoints {
				same := false
				for s, value := range series {
					same = same || base(s) == name && value == point.Value
				}
				if !data.IsMonotonic || !same || name == "m2m_bearer_cache_misses_total" && point.Value == 0 {
					t.Errorf("Prometheus has no %s of %v", name, point.Value)
				}
			}
		default:
			t.Errorf("%s is a %T", m.Name, data)
		}
		if found++; !exported[name] {
			t.Errorf("Prometheus has no %s", name)
		}
	}
	if found != len(exported) {
		t.Errorf("%d metrics in OpenTelemetry, %d in Prometheus", found, len(exported))
	}
}
