package gateway

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer/issuertest"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // the fuzzer has a goroutine of its own
	}
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 10*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

const testAPI = "https://api.test"

// newAuth makes a guard that trusts an issuer of the test.
func newAuth(tb testing.TB, idp *issuertest.Issuer, configure ...func(*bearer.Config)) *bearer.Bearer {
	tb.Helper()
	c := idp.Bearer(testAPI)
	for _, f := range configure {
		f(&c)
	}
	auth, err := bearer.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = auth.Close() })
	return auth
}

func mustPolicy(tb testing.TB, rules ...Rule) *Policy {
	tb.Helper()
	p, err := NewPolicy(rules...)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func newGateway(tb testing.TB, c Config) *Gateway {
	tb.Helper()
	gw, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = gw.Close() })
	return gw
}

// ok answers 200 with the route.
func ok(c echo.Context) error { return c.String(http.StatusOK, c.Path()) }

// get sends a request with a token; "" is none.
func get(h http.Handler, method, target, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// newMux guards patterns of a ServeMux. A handler answers 200 with the pattern.
func newMux(gw *Gateway, patterns ...string) *http.ServeMux {
	mux := http.NewServeMux()
	for _, pattern := range patterns {
		mux.Handle(pattern, gw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(r.Pattern))
		})))
	}
	return mux
}
