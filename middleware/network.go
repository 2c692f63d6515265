package middleware

import (
	"errors"
	"net/http"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/fetch"
)

// addressOf returns where a request comes from. It is Echo's IPExtractor, or nil.
type addressOf = func(r *http.Request) string

// caller is the context of a request whose token names a key. It works out the
// network of the request only if the source asks for it.
type caller struct {
	bearer  *Bearer
	request *http.Request
	extract addressOf
	silent  bool // no event if the address is not known
}

func (c *caller) Deadline() (time.Time, bool) { return c.request.Context().Deadline() }
func (c *caller) Done() <-chan struct{}       { return c.request.Context().Done() }
func (c *caller) Err() error                  { return c.request.Context().Err() }

func (c *caller) Value(key any) any {
	if key == (jwks.NetworkKey{}) {
		return c.network()
	}
	return c.request.Context().Value(key)
}

// network returns the network of a request. It is empty where that is not known: behind
// a proxy, for which no Config.ClientIP or IPExtractor was set, all callers would be one
// network. An event says so once.
func (c *caller) network() string {
	b, r := c.bearer, c.request
	address, fault := r.RemoteAddr, errNoClientIP
	switch {
	case b.clientIP != nil:
		address = b.clientIP(r)
	case c.extract != nil:
		address = c.extract(r)
	case fetch.Forwarded(r):
		address, fault = "", errProxyUnknown
	}
	if host, ok := fetch.HostOf(address); ok {
		return fetch.NetworkOf(host).String()
	}
	if c.silent {
		return ""
	}
	b.proxy.Do(func() {
		if b.background != nil {
			b.background(r.Context(), Event{Op: event.OpConfig, Reason: event.ProxyUnknown, Err: fault})
		}
	})
	return ""
}

var (
	errProxyUnknown = errors.New("middleware: a proxy forwards requests, and the addresses of the callers are not known, so limits per network are off for these requests: set Config.ClientIP, or Echo's IPExtractor if you use Echo")
	errNoClientIP   = errors.New("middleware: Config.ClientIP, Echo's IPExtractor or the connection gave no IP address, so limits per network are off for these requests: set Config.ClientIP to a func that returns one")
)
