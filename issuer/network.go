package issuer

import (
	"net/http"
	"net/netip"
)

// networkOf returns the network that an address counts as: a /24 of IPv4, a /56
// of IPv6, which is what one customer is commonly given. It is empty where the
// address is not known, and bounds per network do not apply.
func networkOf(address string) string {
	if address == "" {
		return ""
	}
	ip, ok := ipOf(address)
	if !ok {
		return notAnAddress
	}
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

// notAnAddress is one network: that of what Config.ClientIP returned and is no
// address.
const notAnAddress = "unknown"

// ipOf reads an IP address with or without a port.
func ipOf(address string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	ip, err := netip.ParseAddr(address)
	return ip.Unmap().WithZone(""), err == nil
}

// hostOf returns the address without its port.
func hostOf(address string) string {
	if ip, ok := ipOf(address); ok {
		return ip.String()
	}
	return networkOf(address)
}

// forwarded reports whether a proxy says that it sent the request on. Any caller
// can say so too: the header decides nothing but that the address of the connection
// may be a proxy's.
func forwarded(r *http.Request) bool {
	return len(r.Header["X-Forwarded-For"]) > 0 || len(r.Header["Forwarded"]) > 0
}
