package jose

import (
	"errors"
	"fmt"
)

// header is what the first part of a token says.
type header struct {
	alg      *algorithm
	kid, typ string
}

func parseHeader(encoded string) (header, error) {
	if len(encoded) > maxHeader {
		return header{}, fmt.Errorf("more than %d bytes", maxHeader)
	}
	var buffer [512]byte
	decoded, err := base64url.AppendDecode(buffer[:0], []byte(encoded))
	if err != nil {
		return header{}, err
	}
	members, err := parseObject(string(decoded), limits{maxHeaderMembers, maxHeaderValues})
	if err != nil {
		return header{}, err
	}
	if members.Has("crit") || members.Has("b64") {
		return header{}, errors.New("crit and b64 are not understood")
	}
	alg, _, err := members.String("alg")
	if err != nil {
		return header{}, err
	}
	h := header{alg: algorithms[alg]}
	if h.alg == nil {
		return header{}, errors.New("alg is missing or not allowed")
	}
	if h.kid, _, err = members.String("kid"); err != nil {
		return header{}, err
	}
	if len(h.kid) > maxKeyID {
		return header{}, fmt.Errorf("kid of more than %d bytes", maxKeyID)
	}
	for i := range len(h.kid) {
		if h.kid[i] < ' ' || h.kid[i] > '~' {
			return header{}, errors.New("kid holds a character that is not printable ASCII")
		}
	}
	if h.typ, _, err = members.String("typ"); err != nil {
		return header{}, err
	}
	return h, nil
}
