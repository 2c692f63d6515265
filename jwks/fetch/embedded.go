package fetch

import "net/netip"

// The forms in which an IPv6 address holds an IPv4 address. A translator or a tunnel
// in the network may send on there what is sent to it.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052, section 2.1
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215: any of the forms of RFC 6052, section 2.2
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056, section 2
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380, section 4
	oldTeredo  = netip.MustParsePrefix("3ffe:831f::/32")  // Teredo before RFC 4380
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765, section 2.1
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, section 2.5.5.1
)

// embedded returns the IPv4 addresses in an IPv6 address: those that a translator
// certainly sends to, and those that it may send to, depending on how it is set up.
func embedded(addr netip.Addr) (certain, possible []netip.Addr) {
	if !addr.Is6() {
		return nil, nil
	}
	b := addr.As16()
	at := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	last := lastIPv4(b)
	switch {
	case nat64.Contains(addr), translated.Contains(addr), compatible.Contains(addr):
		certain = append(certain, last)
	case localNAT64.Contains(addr):
		if [6]byte(b[6:12]) == [6]byte{} {
			certain = append(certain, last)
		}
		possible = append(possible, at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), last)
	case sixToFour.Contains(addr):
		certain = append(certain, sixToFourIPv4(b))
	case teredo.Contains(addr), oldTeredo.Contains(addr):
		certain = append(certain, at(4, 5, 6, 7), teredoIPv4(b)) // the server and the client
	case addr.IsPrivate():
		// Clouds choose unique local addresses that spell 169.254.169.254, such as
		// fd00:c1::a9fe:a9fe.
		for i := 2; i < 14; i += 2 {
			possible = append(possible, at(i, i+1, i+2, i+3))
		}
	}
	if isatap := b[8]&^3 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe; isatap { // RFC 5214, section 6.1
		certain = append(certain, last)
	}
	return certain, possible
}

func lastIPv4(b [16]byte) netip.Addr { return netip.AddrFrom4([4]byte(b[12:])) }

func sixToFourIPv4(b [16]byte) netip.Addr { return netip.AddrFrom4([4]byte(b[2:6])) }

// teredoIPv4 returns the client's address, whose bits are inverted (RFC 4380, section 4).
func teredoIPv4(b [16]byte) netip.Addr {
	return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
}
