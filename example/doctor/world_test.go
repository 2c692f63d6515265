package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/doctor"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const audience = "https://api.example.com"

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
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

// world is an issuer that serves, and the setup of the doctor that checks it. A case
// changes it before it serves.
type world struct {
	path    string                          // of the issuer
	openID  bool                            // issuer.Config.OpenIDConfiguration
	proxy   func(http.Handler) http.Handler // in front of the issuer
	clients []registry.Client
	noKeys  bool // the key store is empty
	keyFile string
	store   registry.Manager
	setup   doctor.Setup
	routes  func(e *echo.Echo, auth *bearer.Bearer) // of the app
}

// client is one that fits.
func client() registry.Client {
	_, secret := registry.GenerateSecret()
	return registry.Client{ID: "reports", Audiences: []string{audience}, Scopes: []string{"orders:read"}, Secrets: []registry.Secret{secret}}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{
		proxy:   func(next http.Handler) http.Handler { return next },
		clients: []registry.Client{client()},
		keyFile: filepath.Join(t.TempDir(), "keys.json"),
		routes: func(e *echo.Echo, auth *bearer.Bearer) {
			v1 := e.Group("/v1", auth.Require())
			v1.GET("/orders/:id", ok, auth.Require("orders:read"))
			v1.POST("/orders", ok, auth.Require("orders:read"))
			e.GET("/healthz", ok)
		},
	}
}

func ok(c echo.Context) error { return c.NoContent(http.StatusNoContent) }

// serve starts the issuer and completes the setup.
func (w *world) serve(t *testing.T) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	w.setup.Issuer = "http://" + server.Listener.Addr().String() + w.path
	memory, err := registry.NewMemory(w.clients...)
	if err != nil {
		t.Fatal(err)
	}
	if w.store == nil {
		w.store = memory
	}
	keys, err := jwks.Open(t.Context(), jwks.File(w.keyFile), jwks.Policy{Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	iss, err := issuer.New(issuer.Config{Issuer: w.setup.Issuer, Keys: keys, Store: memory, OpenIDConfiguration: w.openID, Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { iss.Close() })
	server.Config.Handler = w.proxy(iss.Handler())
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	w.setup.Audiences = append([]string{audience}, w.setup.Audiences...)
	w.setup.Public = []string{"/healthz"}
	keyStore := jwks.File(w.keyFile)
	if w.noKeys {
		keyStore = jwks.File(filepath.Join(t.TempDir(), "none.json"))
	}
	if w.setup.Open == nil {
		w.setup.Open = func(context.Context) (registry.Manager, jwks.KeyStore, error) { return w.store, keyStore, nil }
	}
	if w.setup.App == nil {
		w.setup.App = func(keys *jwks.Keyring, _ *registry.Memory) (*echo.Echo, func() error, error) {
			auth, err := bearer.New(bearer.Config{Issuer: w.setup.Issuer, Audience: audience, Keys: keys, Quiet: true})
			if err != nil {
				return nil, nil, err
			}
			e := echo.New()
			w.routes(e, auth)
			return e, auth.Close, nil
		}
	}
}

// says reports whether the report has the finding: its severity, its check and a part
// of its text.
func says(r doctor.Report, severity doctor.Severity, check, text string) bool {
	for _, f := range r.Findings {
		if f.Severity == severity && f.Check == check && strings.Contains(f.Text, text) {
			return true
		}
	}
	return false
}

func written(t *testing.T, r doctor.Report) string {
	t.Helper()
	var text strings.Builder
	if n, err := r.WriteTo(&text); err != nil || n != int64(text.Len()) {
		t.Errorf("WriteTo: %d of %d bytes, %v", n, text.Len(), err)
	}
	return text.String()
}

// header is a proxy that changes headers of answers for paths that end so.
func header(suffix, name, value string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, suffix) {
				next.ServeHTTP(w, r)
				return
			}
			recorded := httptest.NewRecorder()
			next.ServeHTTP(recorded, r)
			maps.Copy(w.Header(), recorded.Header())
			if value == "" {
				w.Header()[name] = nil // also of those that the server adds
			} else {
				w.Header().Set(name, value)
			}
			w.WriteHeader(recorded.Code)
			_, _ = w.Write(recorded.Body.Bytes())
		})
	}
}

// only is a proxy that passes on paths with the prefix alone.
func only(prefix string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, prefix) {
				next.ServeHTTP(w, r)
				return
			}
			http.NotFound(w, r)
		})
	}
}

// failing is a store whose List or Ready fails.
type failing struct {
	registry.Manager
	list, ready bool
}

var errAway = errors.New("the database is away")

func (f failing) List(ctx context.Context, q registry.Query) ([]registry.Client, error) {
	if f.list {
		return nil, errAway
	}
	return f.Manager.List(ctx, q)
}

func (f failing) Ready(context.Context) error {
	if f.ready {
		return errAway
	}
	return nil
}

func many(n int) (clients []registry.Client) {
	for i := range n {
		clients = append(clients, registry.Client{ID: fmt.Sprintf("c%04d", i), Scopes: []string{"orders:read"}})
	}
	return clients
}
