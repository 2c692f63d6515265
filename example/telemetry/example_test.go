package telemetry_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/echo-m2m/m2m/example/telemetry"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// An issuer and an API in one process, with logs and with metrics for Prometheus at
// /metrics.
func Example() {
	metrics := prometheus.NewRegistry() // prometheus.DefaultRegisterer has Go's own metrics too
	tele, err := telemetry.New(telemetry.Config{Prometheus: metrics, Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keys, err := jwks.Open(context.Background(), jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{Observe: tele.Observe})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	store := &registry.Memory{}
	secret, err := registry.Ensure(context.Background(), store, registry.Client{
		ID: "reporter", Audiences: []string{server.URL + "/v1"}, Scopes: []string{"orders:read"},
	})
	if err != nil {
		log.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{Issuer: server.URL, Keys: keys, Store: store, Observe: tele.Observe})
	if err != nil {
		log.Fatal(err)
	}
	defer iss.Close()
	auth, err := bearer.New(bearer.Config{
		Issuer: server.URL, Audience: server.URL + "/v1", Keys: keys, Revoked: iss.Revoked, Observe: tele.Observe,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := tele.Collect(telemetry.Sources{Issuer: iss, Bearer: auth}); err != nil {
		log.Fatal(err)
	}
	mux.Handle("/", iss.Handler())
	mux.Handle("/v1/orders", auth.Handler(http.NotFoundHandler(), "orders:read"))
	mux.Handle("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{})) // on a port that callers cannot reach

	// A client gets a token, and another caller sends the API none.
	answer, err := http.PostForm(server.URL+"/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"reporter"}, "client_secret": {secret},
	})
	if err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()
	if answer, err = http.Get(server.URL + "/v1/orders"); err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()

	scrape := httptest.NewRecorder()
	mux.ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for line := range strings.Lines(scrape.Body.String()) {
		if strings.HasPrefix(line, "m2m_requests_total") || strings.HasPrefix(line, "m2m_keyring_signing") {
			fmt.Print(line)
		}
	}
	// Output:
	// m2m_keyring_signing{name=""} 1
	// m2m_requests_total{client="",code="",op="request",reason="no_token",status="401"} 1
	// m2m_requests_total{client="reporter",code="",op="token",reason="ok",status="200"} 1
}
