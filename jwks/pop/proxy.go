package pop

import (
	"net/netip"
	"slices"
)

// IsTrustedProxy reports whether a connection comes from one of the proxies, so that its
// Client-Cert header counts (RFC 9440, section 4). remoteAddr is [net/http.Request.RemoteAddr]:
// a server writes the address with a port. One without a port was written by something
// else, perhaps from a header, and is not trusted.
//
// An IPv4 address inside an IPv6 one counts only in its mapped form, which is how a
// connection of IPv4 may look: any host can have one of the other forms.
func IsTrustedProxy(proxies []netip.Prefix, remoteAddr string) bool {
	if len(proxies) == 0 {
		return false
	}
	from, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return false
	}
	host := from.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(host) })
}
