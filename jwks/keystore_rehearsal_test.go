//go:build rehearsal

package jwks

import "testing"

func TestOpenDamagedAtEachByte(t *testing.T) {
	openRotten(t, map[string]int{"ES256": 1 << 20, "EdDSA": 1 << 20, "RS256": 1 << 20})
}

// A keyring of each algorithm whose keys take long to make.
func TestSignAndVerifyRSA(t *testing.T) {
	signAndVerify(t, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
}
