package fetch

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// NewTransport returns the transport that [NewClient] makes if none is given, for other
// requests to an authorization server. It refuses the addresses that the package comment
// names. allow may refuse more; nil refuses none. It gets the address that is dialled, which
// is the proxy's if there is one.
func NewTransport(allow func(to netip.Addr) error) *http.Transport {
	return newTransport(&net.Dialer{Timeout: maxDial}, allow)
}

// maxDial bounds a connection attempt, and then its TLS handshake. net/http lets both run on
// when the context of the request ends, so a server that never answers would keep a
// connection and two goroutines of each request.
const maxDial = 10 * time.Second

// newTransport checks each address when it is dialled, after the name is resolved.
// An earlier check could be evaded by a name that resolves differently the second time.
func newTransport(dialer *net.Dialer, allow func(to netip.Addr) error) *http.Transport {
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err == nil {
			err = checkAddress(to.Addr())
		}
		if err == nil && allow != nil {
			err = allow(to.Addr())
		}
		return err
	}
	return &http.Transport{
		// Where only a proxy leads out, Go programs find it in the environment. Then
		// the address that is checked is the proxy's.
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		// Fetches are minutes apart. A connection kept between them costs two
		// goroutines, and the server has closed it by the next one.
		DisableKeepAlives:      true,
		TLSHandshakeTimeout:    maxDial,
		IdleConnTimeout:        maxDial, // of HTTP/2 connections whose request ended before it was sent
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true, // a dialer of one's own turns HTTP/2 off otherwise

		// A server that does not read holds up a write, and with it the end of the connection.
		HTTP2: &http.HTTP2Config{WriteByteTimeout: maxDial},
	}
}

// cloudMetadata are the addresses outside 169.254.0.0/16 and fe80::/10 at which
// clouds give credentials to any program on a machine.
var cloudMetadata = []netip.Prefix{
	netip.MustParsePrefix("100.100.100.200/32"),     // Alibaba Cloud
	netip.MustParsePrefix("fd00:100::100:200/128"),  // Alibaba Cloud
	netip.MustParsePrefix("fd00:ec2::/32"),          // AWS
	netip.MustParsePrefix("168.63.129.16/32"),       // Azure
	netip.MustParsePrefix("fd20:ce::254/128"),       // Google Cloud
	netip.MustParsePrefix("fd00:a9fe:a9fe::/48"),    // Linode
	netip.MustParsePrefix("192.0.0.192/32"),         // Oracle Cloud
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // Oracle Cloud
	netip.MustParsePrefix("fd00:42::42/128"),        // Scaleway
	netip.MustParsePrefix("100.88.222.5/32"),        // Tencent Cloud
	netip.MustParsePrefix("100.96.0.96/32"),         // Volcengine
}

// thisNetwork is RFC 1122, section 3.2.1.3. Linux takes all of it for the loopback.
var thisNetwork = netip.MustParsePrefix("0.0.0.0/8")

// siteLocal is the range that RFC 3879 retired. Its addresses have no meaning on a
// network of today, other than to pass a check for private ones.
var siteLocal = netip.MustParsePrefix("fec0::/10")

const refusedRanges = "link-local, site-local, multicast, unspecified and cloud metadata addresses are refused"

// checkAddress refuses addresses that no issuer has, and IPv6 addresses that lead to
// one of them where the network translates.
func checkAddress(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("") // ::ffff:169.254.169.254 is 169.254.169.254
	bad := addr
	refused := reserved(addr)
	if !refused && !addr.IsLoopback() {
		certain, possible := embedded(addr)
		for _, v4 := range certain {
			if reserved(v4) {
				bad, refused = v4, true
			}
		}
		for _, v4 := range possible {
			if v4.IsLinkLocalUnicast() || inCloudMetadata(v4) {
				bad, refused = v4, true
			}
		}
	}
	switch {
	case refused && bad != addr:
		return fmt.Errorf("fetch: no issuer can be at %v, which leads to %v (%s)", addr, bad, refusedRanges)
	case refused:
		return fmt.Errorf("fetch: no issuer can be at %v (%s)", addr, refusedRanges)
	}
	return nil
}

func reserved(addr netip.Addr) bool {
	return !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLinkLocalUnicast() ||
		addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || thisNetwork.Contains(addr) || siteLocal.Contains(addr) ||
		inCloudMetadata(addr)
}

func inCloudMetadata(addr netip.Addr) bool {
	return slices.ContainsFunc(cloudMetadata, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// CheckURL reports why a URL may not be fetched: it must be https, or http on the
// loopback, or any http if that is allowed. It holds no credentials and no address
// that no issuer has. An IPv4 address must be four decimal numbers, without a dot
// behind them: other spellings, such as 0xa9fea9fe, are read by some resolvers and
// proxies only.
func (c *Client) CheckURL(raw string) error {
	_, err := c.parse(raw)
	return err
}

func (c *Client) parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	name := u.Hostname()
	addr, err := netip.ParseAddr(name)
	literal := err == nil
	loopback := isLoopback(name)
	switch {
	case u.Scheme != "https" && u.Scheme != "http", name == "":
		return nil, fmt.Errorf("fetch: %.200q is not an absolute URL: write https://…", raw)
	case u.User != nil:
		return nil, fmt.Errorf("fetch: the URL of %s holds credentials: write it without them", u.Host)
	case u.Scheme == "http" && !loopback && !c.allowsHTTP():
		return nil, fmt.Errorf("fetch: %.200q is not https: write https://…, or allow InsecureHTTP", raw)
	case literal:
		return u, checkAddress(addr) // here too, for those behind a proxy or another transport
	case endsInNumber(name):
		return nil, fmt.Errorf("fetch: the host %.200q ends in a number, but is no address: write an IPv4 address as four decimal numbers, such as 10.0.0.1", name)
	}
	return u, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// sameOrigin is the redirect policy: the same scheme, host and port.
func sameOrigin(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.URL.Scheme != from.Scheme || !strings.EqualFold(req.URL.Host, from.Host) {
		return fmt.Errorf("fetch: redirected to another host (%s://%s)", req.URL.Scheme, req.URL.Host)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("fetch: redirected more than %d times", maxRedirects)
	}
	return nil
}
