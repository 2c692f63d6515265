package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/echo-m2m/m2m/example/telemetry"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const apiURL = "https://api.example.com"

// world is an issuer on SQLite with an admin API, an API that shares its process, one
// that does not, and a Telemetry of all of them.
type world struct {
	t      *testing.T
	tele   *telemetry.Telemetry
	scrape http.Handler
	reader *sdkmetric.ManualReader
	keys   *jwks.Keyring
	issuer *issuer.Issuer
	server *httptest.Server
	local  http.Handler // the API that shares the issuer's process
	remote http.Handler // the API that does not

	secrets map[string]string // by client
	away    atomic.Bool       // the issuer answers 500

	mu   sync.Mutex
	seen map[[2]string]int // events by op and reason
	last event.Event
}

// observe counts for itself what the Telemetry hears.
func (w *world) observe(ctx context.Context, e event.Event) {
	w.mu.Lock()
	reason := string(e.Reason)
	if reason == "" {
		reason = "ok"
	}
	w.seen[[2]string{string(e.Op), reason}]++
	w.last = e
	w.mu.Unlock()
	w.tele.Observe(ctx, e)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t *testing.T) *world {
	ctx := t.Context()
	w := &world{t: t, seen: map[[2]string]int{}, secrets: map[string]string{}, reader: sdkmetric.NewManualReader()}
	prom := prometheus.NewRegistry()
	w.scrape = promhttp.HandlerFor(prom, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	w.tele = must(telemetry.New(telemetry.Config{
		Prometheus: prom, Meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)),
	}))
	dir := t.TempDir()
	w.keys = must(jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{Observe: w.observe}))
	t.Cleanup(func() { _ = w.keys.Close() })
	store := must(sqlite.Open(ctx, filepath.Join(dir, "issuer.db")))
	t.Cleanup(func() { _ = store.Close() })

	mux := http.NewServeMux()
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.away.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	w.issuer = must(issuer.New(issuer.Config{
		Issuer: w.server.URL, Keys: w.keys, Store: store, Observe: w.observe, ImportedSecrets: true, FailedAttempts: 2, MaxGrantRate: 1,
	}))
	t.Cleanup(func() { _ = w.issuer.Close() })
	mux.Handle("/", w.issuer.Handler())
	api := must(admin.New(admin.Config{Issuer: w.issuer, Manager: store, Observe: w.observe}))
	mux.Handle("/admin/", http.StripPrefix("/admin", api))
	w.register(store)

	hello := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusOK) })
	local := must(bearer.New(bearer.Config{
		Issuer: w.server.URL, Audience: apiURL, Keys: w.keys, Revoked: w.issuer.Revoked, Leeway: time.Nanosecond, Observe: w.observe,
	}))
	w.local = local.Handler(hello, "orders:read")
	keys := jwks.NewIssuerRemote(w.server.URL, jwks.RemoteConfig{Observe: w.observe, Timeout: time.Minute})
	t.Cleanup(func() { _ = keys.Close() })
	remote := must(bearer.New(bearer.Config{
		Issuer: w.server.URL, Audience: apiURL, Keys: keys, Observe: w.observe,
		Introspection: &bearer.Introspection{Endpoint: w.server.URL + "/introspect", ClientID: "api", ClientSecret: w.secrets["api"], CacheFor: time.Millisecond, Timeout: time.Minute},
	}))
	t.Cleanup(func() { _ = remote.Close() })
	w.remote = remote.Handler(hello)

	lost := must(sqlite.Open(ctx, filepath.Join(dir, "lost.db")))
	t.Cleanup(func() { _ = lost.Close() })
	if err := errors.Join(os.Remove(filepath.Join(dir, "lost.db")), lost.Ready(ctx)); err == nil {
		t.Fatal("a store without its file is ready")
	}
	late, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	if _, err := store.Client(late, "reporter"); err == nil {
		t.Fatal("a store answers after the deadline")
	}
	for _, sources := range []telemetry.Sources{
		{Issuer: w.issuer, Store: store, Bearer: local},
		{Name: "elsewhere", Bearer: remote, Remote: keys},
		{Name: "lost", Store: lost},
	} {
		if err := w.tele.Collect(sources); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) register(store *sqlstore.Store) {
	for _, c := range []registry.Client{
		{ID: "reporter", Scopes: []string{"orders:read", "orders:write"}},
		{ID: "poor"},
		{ID: "hasty", Scopes: []string{"orders:read"}, TokenTTL: time.Second},
		{ID: "off", Disabled: true},
		{ID: "basic", AuthMethod: "client_secret_basic"},
		{ID: "elsewhere", Audiences: []string{"https://other.example.com"}},
		{ID: "api", Introspects: []string{apiURL}},
	} {
		plain, secret := registry.GenerateSecret()
		if c.ID == "poor" { // guesses of a chosen secret are limited
			plain = "chosen by a person"
			secret = must(registry.HashSecret(plain))
		}
		w.secrets[c.ID], c.Secrets = plain, []registry.Secret{secret}
		if c.Audiences == nil {
			c.Audiences = []string{apiURL}
		}
		if _, err := store.Register(w.t.Context(), c); err != nil {
			w.t.Fatal(err)
		}
	}
}

// post sends a form and returns the status and a member of the answer.
func (w *world) post(path string, form url.Values, member string) (status int, value string) {
	w.t.Helper()
	answer, err := http.PostForm(w.server.URL+path, form)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	var body map[string]any
	_ = json.NewDecoder(answer.Body).Decode(&body)
	value, _ = body[member].(string)
	return answer.StatusCode, value
}

// form is a request of a client, with more parameters: name, value, …
func (w *world) form(client string, more ...string) url.Values {
	f := url.Values{"client_id": {client}, "client_secret": {w.secrets[client]}}
	for i := 0; i+1 < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	return f
}

func (w *world) grant(client string, more ...string) (status int, token string) {
	w.t.Helper()
	return w.post("/token", w.form(client, append([]string{"grant_type", "client_credentials"}, more...)...), "access_token")
}

// call asks a guard with a token.
func call(guard http.Handler, token string) int {
	r := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	guard.ServeHTTP(rec, r)
	return rec.Code
}

// manage makes a request to the admin API.
func (w *world) manage(method, path, body string) int {
	r := must(http.NewRequest(method, w.server.URL+"/admin"+path, strings.NewReader(body)))
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// series are the lines of a scrape: m2m_requests_total{client="reporter",…} and its
// value.
func (w *world) series() map[string]float64 {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.scrape.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if rec.Code != http.StatusOK {
		w.t.Fatalf("scraped %d: %s", rec.Code, rec.Body)
	}
	found := map[string]float64{}
	for line := range strings.Lines(rec.Body.String()) {
		line = strings.TrimSpace(line)
		if end := strings.LastIndexByte(line, ' '); end > 0 && !strings.HasPrefix(line, "#") {
			found[line[:end]] = must(strconv.ParseFloat(line[end+1:], 64))
		}
	}
	return found
}
