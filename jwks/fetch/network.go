package fetch

import (
	"net/http"
	"net/netip"
)

// HostOf reads the IP address of a caller, with or without a port. An IPv6 address that
// holds the IPv4 address of its host, because a translator or a tunnel made it, is read
// as that one. Behind a translator many hosts would otherwise count as one network, and
// with a tunnel one host as many.
//
//   - Read as IPv4: mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96), NAT64
//     (64:ff9b::/96, and the /96 forms of 64:ff9b:1::/48), 6to4 and Teredo.
//   - Not read as IPv4: ISATAP, because any host can choose such an address, and the
//     obsolete compatible form (::/96).
//
// A zone is left out. ok is false for what is no address.
func HostOf(address string) (host netip.Addr, ok bool) {
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		host = withPort.Addr()
	} else if host, err = netip.ParseAddr(address); err != nil {
		return netip.Addr{}, false
	}
	return behind(host.Unmap().WithZone("")), true
}

// NetworkOf returns the network of a host: a /24 of IPv4, a /56 of IPv6, which is what
// one customer is commonly given. It is not valid for the zero Addr.
func NetworkOf(host netip.Addr) netip.Prefix {
	bits := 56
	if host.Is4() {
		bits = 24
	}
	network, _ := host.Prefix(bits) // fails for the zero Addr alone
	return network
}

// behind returns the IPv4 address of the host that uses an IPv6 address, or the address
// itself.
func behind(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr), translated.Contains(addr), localNAT64.Contains(addr) && has96(b):
		return lastIPv4(b)
	case sixToFour.Contains(addr):
		return sixToFourIPv4(b)
	case teredo.Contains(addr):
		return teredoIPv4(b)
	}
	return addr
}

// has96 reports whether an address of NAT64 is certainly of the form with a prefix of
// 96 bits. In the other forms the last three bytes are 0 (RFC 6052, section 2.2).
func has96(b [16]byte) bool {
	return b[8] == 0 && b[9] == 0 && b[10] == 0 && b[11] == 0 && [3]byte(b[13:]) != [3]byte{}
}

// Forwarded reports whether a proxy says that it forwarded the request. Any caller can
// send these headers too, so they say only that the address of the connection may be a
// proxy's.
func Forwarded(r *http.Request) bool {
	return len(r.Header["X-Forwarded-For"]) > 0 || len(r.Header["Forwarded"]) > 0 || len(r.Header["X-Real-Ip"]) > 0
}
