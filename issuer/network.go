package issuer

import (
	"net/http"
	"net/netip"
)

// networkOf returns the network that an address counts as: a /24 of IPv4, a /56
// of IPv6, which is what one customer is commonly given. It is empty where the
// address is not known, and bounds per network do not apply.
func networkOf(address string) string {
	ip, ok := ipOf(address)
	if !ok {
		return ""
	}
	return prefixOf(ip).String()
}

func prefixOf(ip netip.Addr) netip.Prefix {
	bits := 56
	if ip.Is4() {
		bits = 24
	}
	prefix, _ := ip.Prefix(bits) // fails for no address alone
	return prefix
}

// ipOf reads an IP address with or without a port. An IPv6 address that holds an IPv4
// one is read as that.
func ipOf(address string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		return embedded(withPort.Addr()), true
	}
	ip, err := netip.ParseAddr(address)
	return embedded(ip), err == nil
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052, section 2.1
	siit      = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765, section 2.1
	sixToFour = netip.MustParsePrefix("2002::/16")       // RFC 3056, section 2
)

// embedded returns the IPv4 address in one that is mapped, translated (NAT64, SIIT) or
// tunnelled (6to4): all callers of a host behind a translator are not one network, nor
// is one caller many. It returns others without their zone.
func embedded(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if !ip.Is6() {
		return ip
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip) || siit.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

// groupsOf returns the shares of an IPv6 network: the /48 and the /32 that it is in. One
// customer may be given the first, which is 256 networks, and an attacker who rents
// machines has seldom much more than the second.
func groupsOf(network string) (groups [2]netip.Prefix, ok bool) {
	prefix, err := netip.ParsePrefix(network)
	if err != nil || !prefix.Addr().Is6() {
		return groups, false
	}
	for n, bits := range []int{48, 32} {
		groups[n], _ = prefix.Addr().Prefix(bits)
	}
	return groups, true
}

// forwarded reports whether a proxy says that it sent the request on. Any caller
// can say so too: the header decides nothing but that the address of the connection
// may be a proxy's.
func forwarded(r *http.Request) bool {
	return len(r.Header["X-Forwarded-For"]) > 0 || len(r.Header["Forwarded"]) > 0 || len(r.Header["X-Real-Ip"]) > 0
}
