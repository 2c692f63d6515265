package jwks

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// header is the first part of a token, read.
type header struct {
	encoded       string // as received
	alg, kid, typ string
}

const maxKeyID = 256

func parseHeader(encoded string) (*header, error) {
	if len(encoded) <= maxRemembered {
		if h := seat(encoded).Load(); h != nil && h.encoded == encoded {
			return h, nil
		}
	}
	decoded, err := base64url.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	members, err := ParseClaims(string(decoded))
	if err != nil {
		return nil, err
	}
	if members.Has("crit") || members.Has("b64") {
		return nil, errors.New("crit and b64 are not understood")
	}
	alg, _, err := members.String("alg")
	if err != nil {
		return nil, err
	}
	a := algorithms[alg]
	if a == nil {
		return nil, errors.New("alg is missing or not allowed")
	}
	kid, _, err := members.String("kid")
	if err != nil {
		return nil, err
	}
	if len(kid) > maxKeyID {
		return nil, fmt.Errorf("kid of more than %d bytes", maxKeyID)
	}
	for i := range len(kid) {
		if kid[i] < ' ' || kid[i] > '~' {
			return nil, errors.New("kid holds a character that is not printable ASCII")
		}
	}
	typ, _, err := members.String("typ")
	if err != nil {
		return nil, err
	}
	return &header{encoded: strings.Clone(encoded), alg: a.name, kid: kid, typ: typ}, nil
}

// An issuer writes the same header on all tokens of a key, so a few that led to
// a good signature are kept read. What a header says depends on nothing but its
// bytes, which are compared whole: whoever finds one here gets what parseHeader
// would have given.
var (
	headers    [64]atomic.Pointer[header]
	headerSeed = maphash.MakeSeed()
)

const maxRemembered = 1 << 10 // bytes of an encoded header

func seat(encoded string) *atomic.Pointer[header] {
	return &headers[maphash.String(headerSeed, encoded)%uint64(len(headers))]
}

// remember keeps the header of a token that has been verified. Nobody can fill
// the seats who cannot sign.
func (h *header) remember() {
	if len(h.encoded) > maxRemembered {
		return
	}
	if at := seat(h.encoded); at.Load() != h {
		at.Store(h)
	}
}
