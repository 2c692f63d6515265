//go:build unix

package gateway

import (
	"io"
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

// BenchmarkAddedCPU compares the CPU time of a request through a guard, a Forwarder and
// Echo's Proxy with that of one through the bare Proxy, with a token that is used again and
// again. Client and upstream run in the same process, and their part is in both. The two are
// asked in turn, in batches. added-% compares the cheapest tenth of the batches, because other
// programs on the machine only ever add to a batch; pairs-% is the median of the pairs.
//
//	go test ./middleware/gateway -run '^$' -bench AddedCPU -benchtime 40000x
func BenchmarkAddedCPU(b *testing.B) {
	c := newCallers(b)
	authorization := "Bearer " + c.token(b, nil)
	upstream := serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"orders":[]}`) }))
	target, err := url.Parse(upstream.URL)
	if err != nil {
		b.Fatal(err)
	}
	newApp := func(guards ...echo.MiddlewareFunc) string {
		transport := &http.Transport{MaxIdleConnsPerHost: 4}
		b.Cleanup(transport.CloseIdleConnections)
		proxy := echomiddleware.ProxyWithConfig(echomiddleware.ProxyConfig{
			Balancer: echomiddleware.NewRoundRobinBalancer([]*echomiddleware.ProxyTarget{{URL: target}}), Transport: transport,
		})
		e := echo.New()
		e.Any("/orders/:id", func(echo.Context) error { return echo.ErrNotFound }, append(guards, proxy)...)
		return serve(b, e).URL + "/orders/7"
	}
	forward := newTestForwarder(b, ForwardConfig{})
	bare, guarded := newApp(), newApp(c.auth.Require("orders:read"), forward.Echo())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer client.CloseIdleConnections()
	batch := func(address string) time.Duration {
		began := cpuTime(b)
		for range 100 {
			r, err := http.NewRequestWithContext(b.Context(), "GET", address, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Header["Authorization"] = []string{authorization}
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
		return cpuTime(b) - began
	}
	for range 5 {
		batch(bare)
		batch(guarded)
	}
	var ratios, without, with []float64
	b.ResetTimer()
	for i := range max(1, b.N/200) {
		var one, two time.Duration
		if i%2 == 0 {
			one, two = batch(bare), batch(guarded)
		} else {
			two, one = batch(guarded), batch(bare)
		}
		ratios = append(ratios, float64(two)/float64(one))
		without, with = append(without, float64(one.Nanoseconds())/100), append(with, float64(two.Nanoseconds())/100)
	}
	b.ReportMetric(100*(quantile(with, 0.1)/quantile(without, 0.1)-1), "added-%")
	b.ReportMetric(100*(quantile(ratios, 0.5)-1), "pairs-%")
	b.ReportMetric(quantile(without, 0.1), "bare-cpu-ns")
	b.ReportMetric(0, "ns/op")
}

// quantile returns the value below which the part q of the list lies. It sorts the list.
func quantile(list []float64, q float64) float64 {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
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
