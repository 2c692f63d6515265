package jose

import (
	"errors"
	"fmt"
)

// header is what the first part of a token says.
type header struct {
	alg      *algorithm
	kid, typ string
	jwk      string // as written, "" if there is none
}

func parseHeader(encoded string) (header, error) {
	if base64url.DecodedLen(len(encoded)) > maxHeader {
		return header{}, fmt.Errorf("more than %d bytes", maxHeader)
	}
	var buffer [512]byte
	decoded, err := base64url.AppendDecode(buffer[:0], []byte(encoded))
	if err != nil {
		return header{}, err
	}
	members, err := parseObject(string(decoded), limits{maxHeaderMembers, maxEscapedName, maxHeaderValues})
	if err != nil {
		return header{}, err
	}
	if members.Has("crit") || members.Has("b64") {
		return header{}, errors.New("crit and b64 are not understood")
	}
	alg, err := members.short("alg", maxType)
	if err != nil {
		return header{}, err
	}
	h := header{alg: algorithms[alg]}
	if h.alg == nil {
		return header{}, errors.New("alg is missing or not allowed")
	}
	if h.kid, err = members.short("kid", maxKeyID); err != nil {
		return header{}, err
	}
	for i := range len(h.kid) {
		if h.kid[i] < ' ' || h.kid[i] > '~' {
			return header{}, errors.New("kid holds a character that is not printable ASCII")
		}
	}
	if h.typ, err = members.short("typ", maxType); err != nil {
		return header{}, err
	}
	h.jwk, _ = members.get("jwk")
	return h, nil
}

// short returns a string of at most so many bytes. A longer one is not decoded: an
// escape sequence has 6 bytes at most for each byte that it means.
func (o *Object) short(name string, longest int) (string, error) {
	raw, _ := o.get(name)
	if len(raw) <= 6*longest+len(`""`) {
		value, _, err := o.String(name)
		if err != nil || len(value) <= longest {
			return value, err
		}
	}
	return "", fmt.Errorf("%s of more than %d bytes", name, longest)
}
