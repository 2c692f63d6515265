package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
)

// tokenID is the information in the jti of a token. A cut-off at sequence S revokes the
// tokens with a number below S, so no clock is involved.
type tokenID struct {
	// number is the sequence up to which the granting replica had read the feed before it
	// read the client's record.
	number int64

	// secret is the tag of the secret that the client used, 0 if it used none. See
	// secretTag.
	secret uint32
}

// A jti is the base64url form of 8 bytes of number, 4 bytes of secret tag and 16 random
// bytes.
const (
	tokenIDBytes  = 8 + 4 + 16
	tokenIDLength = (tokenIDBytes*8 + 5) / 6
)

// tokenIDEncoding is strict, so that each value has one text.
var tokenIDEncoding = base64.RawURLEncoding.Strict()

// newTokenID returns a jti with 128 random bits.
func newTokenID(id tokenID) string {
	var raw [tokenIDBytes]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(max(id.number, 0)))
	binary.BigEndian.PutUint32(raw[8:12], id.secret)
	_, _ = rand.Read(raw[12:]) // never fails (crypto/rand)
	var text [tokenIDLength]byte
	tokenIDEncoding.Encode(text[:], raw[:])
	return string(text[:])
}

// parseTokenID parses a jti. One of another form, such as that of an earlier release, has
// the number 0, so that every cut-off of its client revokes it.
func parseTokenID(jti string) tokenID {
	if len(jti) != tokenIDLength {
		return tokenID{}
	}
	var text [tokenIDLength]byte
	copy(text[:], jti)
	var raw [tokenIDBytes]byte
	n, err := tokenIDEncoding.Decode(raw[:], text[:])
	number := binary.BigEndian.Uint64(raw[:8])
	if err != nil || n != tokenIDBytes || number > math.MaxInt64 {
		return tokenID{}
	}
	return tokenID{int64(number), binary.BigEndian.Uint32(raw[8:12])}
}

// secretTag returns the tag of a secret: 4 bytes of the hash of its id. Two secrets of a
// client have the same tag with a probability of 2⁻³². A cut-off of one then revokes the
// tokens of the other too.
func secretTag(secretID string) uint32 {
	if secretID == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(secretID))
	return binary.BigEndian.Uint32(sum[:4])
}
