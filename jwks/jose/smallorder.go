package jose

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
)

// smallOrder are the y coordinates of the points of small order on the curve of Ed25519,
// little-endian, also in spellings that are not reduced (RFC 8032, section 5.1.3). Anybody
// can make signatures for such a key, and crypto/ed25519 accepts them. So a token that is
// bound to one is a bearer token.
var smallOrder = func() [][]byte {
	var all [][]byte
	for _, y := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"0100000000000000000000000000000000000000000000000000000000000000", // the neutral point
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 0, not reduced
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 1, not reduced
	} {
		if point, err := hex.DecodeString(y); err == nil { // they are all right
			all = append(all, point)
		}
	}
	return all
}()

// hasSmallOrder reports whether a key of the right length is one of these points.
func hasSmallOrder(key ed25519.PublicKey) bool {
	last := len(key) - 1
	for _, y := range smallOrder {
		// The highest bit is the sign of x.
		if bytes.Equal(key[:last], y[:last]) && key[last]&0x7f == y[last] {
			return true
		}
	}
	return false
}
