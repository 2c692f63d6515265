package issuer

import (
	"net/http"
	"net/netip"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// networkOf returns the network of an address, as [fetch.NetworkOf] has it. It is empty
// where the address is not known; bounds per network do not apply then.
func networkOf(address string) string {
	host, ok := ipOf(address)
	if !ok {
		return ""
	}
	return prefixOf(host).String()
}

func prefixOf(host netip.Addr) netip.Prefix { return fetch.NetworkOf(host) }

func ipOf(address string) (netip.Addr, bool) { return fetch.HostOf(address) }

func forwarded(r *http.Request) bool { return fetch.Forwarded(r) }

// groupsOf returns the /48 and the /32 of an IPv6 network. One customer may be given a
// /48, which is 256 networks. An attacker who rents machines seldom has much more than
// a /32.
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
