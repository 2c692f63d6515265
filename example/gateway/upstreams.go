package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/echo-m2m/m2m/example/service"
)

// answer is what an upstream of the example's own answers: what it has got.
type answer struct {
	Service       string `json:"service"`
	Method        string `json:"method"`
	Path          string `json:"path"`
	ClientID      string `json:"x_client_id"`
	Scopes        string `json:"x_client_scopes"`
	Issuer        string `json:"x_token_issuer"`
	Authorization string `json:"authorization"`
}

// startUpstreams starts those that the settings do not name, on free ports of the loopback.
func startUpstreams(set *service.Gateway) (stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			_ = s.Close() // the program ends
		}
	}
	for name, u := range map[string]**url.URL{"orders": &set.Orders, "invoices": &set.Invoices} {
		if *u != nil {
			continue
		}
		listener, failed := net.Listen("tcp", "127.0.0.1:0")
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		*u = &url.URL{Scheme: "http", Host: listener.Addr().String()}
		s := &http.Server{Handler: upstream(name), ReadHeaderTimeout: 5 * time.Second}
		servers = append(servers, s)
		go s.Serve(listener) //nolint:errcheck // it ends with Close
	}
	if err != nil {
		stop()
	}
	return stop, err
}

// upstream is a service that believes what the gateway says of the caller.
func upstream(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer{ // a gateway that left misses nothing
			name, r.Method, r.URL.EscapedPath(),
			r.Header.Get("X-Client-Id"), r.Header.Get("X-Client-Scopes"), r.Header.Get("X-Token-Issuer"), r.Header.Get("Authorization"),
		})
	})
}
