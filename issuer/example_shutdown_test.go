package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// A whole program with a readiness probe, which stops without losing a request. It closes
// in this order: HTTP server, guard, issuer, keyring, store.
func Example_shutdown() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	// In a program: signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	stop, terminate := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- serveUntil(stop, listener, dir) }()

	answer, err := http.Get("http://" + listener.Addr().String() + "/readyz")
	if err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()
	fmt.Println("/readyz:", answer.StatusCode)
	terminate()
	fmt.Println("stopped:", <-ended)
	// Output:
	// /readyz: 200
	// stopped: <nil>
}

const (
	drainFor = 10 * time.Millisecond // in a program, as long as load balancers need to see that /readyz fails: 5 s
	endFor   = 10 * time.Second      // for requests under way
)

func serveUntil(stop context.Context, listener net.Listener, dir string) error {
	ctx, url := context.Background(), "http://"+listener.Addr().String()
	store := &registry.Memory{} // in a program: sqlite.Open(ctx, "issuer.db"), and defer store.Close()
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{})
	if err != nil {
		return err
	}
	defer keys.Close()
	iss, err := issuer.New(issuer.Config{Issuer: url, Keys: keys, Store: store})
	if err != nil {
		return err
	}
	defer iss.Close()
	auth, err := bearer.New(bearer.Config{Issuer: url, Audience: url + "/v1", Keys: keys, Revoked: iss.Revoked})
	if err != nil {
		return err
	}
	defer auth.Close()

	var stopping atomic.Bool
	mux := http.NewServeMux()
	mux.Handle("/", iss.Handler())
	mux.Handle("GET /v1/orders", auth.Handler(http.NotFoundHandler(), "orders:read"))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		err := errors.Join(iss.Ready(r.Context()), auth.Ready(r.Context()))
		if stopping.Load() || errors.Is(err, jwks.ErrUnavailable) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	stopping.Store(true) // /readyz is 503 from here on
	time.Sleep(drainFor)
	ending, cancel := context.WithTimeout(ctx, endFor)
	defer cancel()
	return server.Shutdown(ending)
}
