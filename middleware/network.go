package middleware

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// addressOf says where a request comes from. It is Echo's IPExtractor, where the app
// has one, and else nil.
type addressOf = func(r *http.Request) string

// caller is the context of a request whose token names a key. It works out the
// network of the request only if the source asks for it.
type caller struct {
	context.Context
	bearer  *Bearer
	request *http.Request
	extract addressOf
}

func (c *caller) Value(key any) any {
	if key == (jwks.NetworkKey{}) {
		return c.bearer.network(c.request, c.extract)
	}
	return c.Context.Value(key)
}

// network returns the network that a request counts as. It is empty behind a proxy
// that is not known, since all callers then share one address. An event says so once.
func (b *Bearer) network(r *http.Request, extract addressOf) string {
	address := r.RemoteAddr
	switch {
	case b.clientIP != nil:
		address = cmp.Or(b.clientIP(r), notAnAddress)
	case extract != nil:
		address = cmp.Or(extract(r), notAnAddress)
	case len(r.Header["X-Forwarded-For"]) > 0 || len(r.Header["Forwarded"]) > 0 || len(r.Header["X-Real-Ip"]) > 0:
		// Any caller can send these. They decide nothing but that the address of the
		// connection may be a proxy's.
		b.proxy.Do(func() {
			if b.background != nil {
				b.background(r.Context(), Event{Op: event.OpConfig, Reason: event.ProxyUnknown, Err: errProxyUnknown})
			}
		})
		return ""
	}
	return networkOf(address)
}

var errProxyUnknown = errors.New("middleware: a proxy sends requests on, and whom they come from is not known: bounds per network are off for them; set Config.ClientIP, or Echo's IPExtractor")

// notAnAddress is the one network of all requests for which Config.ClientIP or the
// IPExtractor returns no IP address.
const notAnAddress = "unknown"

// networkOf returns the network of an address with or without a port: a /24 of IPv4,
// a /56 of IPv6, which is what one customer is commonly given.
func networkOf(address string) string {
	if address == "" {
		return ""
	}
	var ip netip.Addr
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		ip = withPort.Addr()
	} else if ip, err = netip.ParseAddr(address); err != nil {
		return notAnAddress
	}
	ip = ip.Unmap().WithZone("")
	bits := 56
	if ip.Is4() {
		bits = 24
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return notAnAddress
	}
	return prefix.String()
}
