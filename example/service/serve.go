package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
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
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return listener, "http://" + net.JoinHostPort(host, fmt.Sprint(tcp.Port)), nil
}

// Health answers that the process runs.
func Health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"ok"}`+"\n") // a caller that left misses nothing
}

// Serve serves until SIGTERM or SIGINT, then lets requests under way finish.
func Serve(handler http.Handler, listener net.Listener) error {
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return err
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
