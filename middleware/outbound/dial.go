package outbound

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// guarded returns the two transports of an [endpointGuard]. They dial no address that
// package fetch refuses.
func guarded(d *discovery) (anywhere, outside *http.Transport) {
	return fetch.NewTransport(nil), fetch.NewTransport(func(to netip.Addr) error {
		if inside(to) {
			return fmt.Errorf("outbound: the metadata of %s names a token endpoint at %v, which is inside the network, and the issuer is not: if that is right, set Config.TokenURL", d.issuer, to)
		}
		return nil
	})
}

// endpointGuard is the default transport of token requests. A token endpoint from metadata
// that is on another host than the issuer's is dialled inside the network only if the issuer
// is there too. One that Config.TokenURL names may be anywhere: the operator has chosen it.
type endpointGuard struct {
	discovery         *discovery
	anywhere, outside *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (g *endpointGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.discovery.mayBeInside(r.URL) {
		return g.anywhere.RoundTrip(r)
	}
	if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy != nil { // then the proxy is dialled
		return g.anywhere.RoundTrip(r)
	}
	return g.outside.RoundTrip(r)
}

// mayBeInside reports whether a token endpoint may be inside the network.
func (d *discovery) mayBeInside(endpoint *url.URL) bool {
	if d.issuer == "" || d.inside.Load() {
		return true
	}
	issuer, err := url.Parse(d.issuer)
	return err == nil && strings.EqualFold(issuer.Hostname(), endpoint.Hostname())
}

// shared is RFC 6598: addresses behind a carrier's or a cloud's translator, and those of
// some private networks.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// inside reports whether an address is on the loopback or in a private network.
func inside(addr netip.Addr) bool {
	host, ok := fetch.HostOf(addr.String()) // an IPv4 address that an IPv6 one leads to
	return ok && (host.IsLoopback() || host.IsPrivate() || shared.Contains(host))
}

// withPeers returns a context whose requests are watched, and a func that reports whether
// all their connections were to addresses inside the network. It is false if there were
// none.
func withPeers(ctx context.Context) (traced context.Context, allInside func() bool) {
	var mu sync.Mutex
	connections, within := 0, 0
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		peer, err := netip.ParseAddrPort(c.Conn.RemoteAddr().String())
		mu.Lock()
		defer mu.Unlock()
		connections++
		if err == nil && inside(peer.Addr()) {
			within++
		}
	}}
	return httptrace.WithClientTrace(ctx, trace), func() bool {
		mu.Lock()
		defer mu.Unlock()
		return connections > 0 && within == connections
	}
}
