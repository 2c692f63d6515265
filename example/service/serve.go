package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// Listen listens on ADDR, or on address when that is not set, and returns the URL
// under which this machine reaches it.
func Listen(address string) (net.Listener, string, error) {
	listener, err := net.Listen("tcp", env("ADDR", address))
	if err != nil {
		return nil, "", fmt.Errorf("ADDR: write an address that is free, such as 127.0.0.1:8080: %w", err)
	}
	tcp, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, "", fmt.Errorf("listening on %v, which is not TCP", listener.Addr())
	}
	return listener, urlOf(tcp), nil
}

// URL is the URL that Listen would return, without listening. It is "" if ADDR is
// no address.
func URL(address string) string {
	tcp, err := net.ResolveTCPAddr("tcp", env("ADDR", address))
	if err != nil {
		return ""
	}
	return urlOf(tcp)
}

func urlOf(address *net.TCPAddr) string {
	host := address.IP.String()
	if address.IP == nil || address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(address.Port))
}

// Health answers that the process runs.
func Health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"ok"}`+"\n") // a caller that left misses nothing
}

// closing ends the connection of each answer while the program stops. Server's
// SetKeepAlivesEnabled would also close idle connections at once, on which a request
// may be under way.
func closing(next http.Handler, ready *Readiness) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ready.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Serve serves until SIGTERM or SIGINT. Then ready answers "unavailable", and the
// listener stays open for SHUTDOWN_DELAY (default 1s), so that load balancers see it.
// Each answer in that time closes its connection, so that no request is sent on one
// that ends. After that, requests under way have SHUTDOWN_TIMEOUT (default 10s) to
// finish. Connections that are still busy then are cut: the log says so, and it is no
// error. A second signal ends the process at once. Serve prints say once it handles
// signals.
func Serve(handler http.Handler, listeners []net.Listener, ready *Readiness, say string) error {
	delay, timeout := time.Second, 10*time.Second
	if err := shutdown(&delay, &timeout); err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	fmt.Print(say)
	var open atomic.Int64
	server := &http.Server{
		Handler:           closing(handler, ready),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       time.Minute,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			default: // the connection goes on
			}
		},
	}
	failed := make(chan error, len(listeners))
	for _, listener := range listeners {
		go func() { failed <- server.Serve(listener) }()
	}
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	cancel()
	ready.Stopping()
	select {
	case err := <-failed:
		return err
	case <-time.After(delay):
	}
	ending, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := server.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Printf("%d connections were still busy %v after the listener was closed, and are cut (SHUTDOWN_TIMEOUT)", open.Load(), timeout)
		err = server.Close()
	}
	for range listeners {
		if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}
	return err
}
