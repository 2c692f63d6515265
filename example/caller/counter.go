package main

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// counter is the transport for the issuer. It counts the requests that were sent to the token
// endpoint: those are POSTs, and metadata is fetched by GET. Over a connection that was
// refused nothing is sent.
type counter struct {
	base http.RoundTripper
	sent atomic.Uint64
}

func newCounter() *counter {
	return &counter{base: fetch.NewTransport(nil)}
}

// RoundTrip implements [http.RoundTripper].
func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			WroteRequest: func(wrote httptrace.WroteRequestInfo) {
				if wrote.Err == nil {
					c.sent.Add(1)
				}
			},
		}))
	}
	return c.base.RoundTrip(r)
}
