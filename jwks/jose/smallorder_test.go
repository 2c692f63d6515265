package jose

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"
)

// smallOrderKeys are the encodings of the points of small order on the curve of Ed25519, and
// those that decode to one of them without being canonical.
var smallOrderKeys = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// Everybody can sign for a key of small order, so it is refused.
func TestSmallOrderKeys(t *testing.T) {
	for _, text := range smallOrderKeys {
		public, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewKey(ed25519.PublicKey(public), "EdDSA", ""); err == nil {
			t.Errorf("NewKey takes %s", text)
		}
		x := base64.RawURLEncoding.EncodeToString(public)
		if _, err := ParseKey([]byte(fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, x)), ""); err == nil {
			t.Errorf("ParseKey takes %s", text)
		}
		header := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"alg":"EdDSA","typ":"dpop+jwt","jwk":{"kty":"OKP","crv":"Ed25519","x":%q}}`, x)))
		// R is the neutral point and S is 0: right for one message in eight at least.
		signature := make([]byte, ed25519.SignatureSize)
		signature[0] = 1
		accepted := 0
		for n := range 40 {
			payload := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"n":%d}`, n)))
			token, err := Parse(header+"."+payload+"."+base64.RawURLEncoding.EncodeToString(signature), 0)
			if err != nil {
				t.Fatal(err)
			}
			if key, err := token.EmbeddedKey(); err == nil {
				if _, err := token.Verify(key); err == nil {
					accepted++
				}
			}
		}
		if accepted > 0 {
			t.Errorf("%s: %d of 40 signatures that nobody made are right", text, accepted)
		}
	}
}
