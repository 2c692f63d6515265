//go:build unix

package gateway

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	bearer "github.com/echo-m2m/m2m/middleware"
)

// BenchmarkAddedCPU compares the CPU time of a request through a gateway with that of one
// through Echo's bare Proxy, with a token that is used again and again. All share one
// upstream, one transport and one client, which run in the same process, so their part is in
// each figure. The apps are asked in turn, in batches. The figures are:
//
//   - NAME-%: what NAME adds to the bare proxy, and shadow-% what the shadow adds to the
//     gateway. It compares the cheapest tenth of the batches, because other programs on the
//     machine only ever add to a batch.
//   - NAME-pairs-%: the median of the batches, each beside the one of its round.
//   - bare-cpu-ns: one request through the bare proxy, client and upstream included.
//
// guard is Bearer.Require alone; forward has a Forwarder behind it; gateway has a policy
// instead of the scope; shadow has another policy in shadow besides.
//
//	go test ./middleware/gateway -run '^$' -bench AddedCPU -benchtime 100000x
func BenchmarkAddedCPU(b *testing.B) {
	c := newCallers(b)
	authorization := []string{"Bearer " + c.token(b, nil)}
	upstream := serve(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"orders":[]}`) }))
	target, err := url.Parse(upstream.URL)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	proxy := echomiddleware.ProxyWithConfig(echomiddleware.ProxyConfig{
		Balancer: echomiddleware.NewRoundRobinBalancer([]*echomiddleware.ProxyTarget{{URL: target}}), Transport: transport,
	})
	forward := newTestForwarder(b, ForwardConfig{}).Echo()
	policy := mustPolicy(b, Rule{Route: "/orders/:id", Methods: []string{"GET"}, Scopes: []string{"orders:read"}}, Rule{Route: "/orders/:id", Scopes: []string{"orders:write"}})
	shadow := mustPolicy(b, Rule{Route: "/orders/:id", Scopes: []string{"orders:read", "orders:write"}})
	apps := []struct {
		name, beside string // beside is what it is compared with
		guards       []echo.MiddlewareFunc
	}{
		{"bare", "", nil},
		{"guard", "bare", []echo.MiddlewareFunc{c.auth.Require("orders:read")}},
		{"forward", "bare", []echo.MiddlewareFunc{c.auth.Require("orders:read"), forward}},
		{"gateway", "bare", []echo.MiddlewareFunc{newGateway(b, Config{Auth: c.auth, Policy: policy}).Require(), forward}},
		{"shadow", "gateway", []echo.MiddlewareFunc{newGateway(b, Config{Auth: c.auth, Policy: policy, Shadow: shadow}).Require(), forward}},
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer client.CloseIdleConnections()
	batch := func(address string) float64 {
		const requests = 100
		began := cpuTime(b)
		for range requests {
			r, err := http.NewRequestWithContext(b.Context(), "GET", address, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Header["Authorization"] = authorization
			answer, err := client.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				b.Fatalf("status %d", answer.StatusCode)
			}
		}
		return float64((cpuTime(b) - began).Nanoseconds()) / requests
	}
	addresses, costs := map[string]string{}, map[string][]float64{}
	for _, app := range apps {
		e := echo.New()
		e.Any("/orders/:id", func(echo.Context) error { return echo.ErrNotFound }, append(app.guards, proxy)...)
		addresses[app.name] = serve(b, e).URL + "/orders/7"
		batch(addresses[app.name])
	}
	b.ResetTimer()
	for range max(1, b.N/(100*len(apps))) {
		for _, i := range rand.Perm(len(apps)) { // so none has always the same neighbour
			name := apps[i].name
			costs[name] = append(costs[name], batch(addresses[name]))
		}
	}
	for _, app := range apps[1:] {
		ratios := make([]float64, len(costs[app.name]))
		for i, cost := range costs[app.name] {
			ratios[i] = cost / costs[app.beside][i]
		}
		added := quantile(costs[app.name], 0.1)/quantile(costs[app.beside], 0.1) - 1
		b.ReportMetric(100*added, app.name+"-%")
		b.ReportMetric(100*(quantile(ratios, 0.5)-1), app.name+"-pairs-%")
	}
	b.ReportMetric(quantile(costs["bare"], 0.1), "bare-cpu-ns")
	b.ReportMetric(0, "ns/op")
}

// quantile returns the value below which the part q of the list lies.
func quantile(list []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(q*float64(len(sorted)-1))]
}

// cpuTime returns the CPU time of this process.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkHeader is what a Forwarder does for one request, without guard and proxy.
func BenchmarkHeader(b *testing.B) {
	for name, config := range map[string]ForwardConfig{"headers": {}, "internal": {Internal: newInternal(newTestKeys(b))}} {
		b.Run(name, func(b *testing.B) {
			c := newCallers(b)
			f := newTestForwarder(b, config)
			r := httptest.NewRequestWithContext(b.Context(), "GET", "/orders/7", http.NoBody)
			r.Header = http.Header{
				"Authorization": {"Bearer " + c.token(b, nil)}, "Accept": {"*/*"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"}, "X-Request-Id": {"7"}, "Connection": {"keep-alive"},
			}
			var token *bearer.Token
			c.auth.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { token = bearer.TokenFromContext(r.Context()) })).ServeHTTP(httptest.NewRecorder(), r)
			b.ReportAllocs()
			for b.Loop() {
				if _, e := f.header(r, token); e != nil {
					b.Fatal(e.cause)
				}
			}
		})
	}
}
