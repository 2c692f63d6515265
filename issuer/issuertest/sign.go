package issuertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
)

// members are the members of a JSON object, in order. A fault may write one twice.
type members []member

type member struct{ name, value string } // the value as JSON

// set replaces a member, or adds it.
func (m *members) set(name, value string) {
	for i := range *m {
		if (*m)[i].name == name {
			(*m)[i].value = value
			return
		}
	}
	m.add(name, value)
}

// replace replaces a member, if there is one.
func (m *members) replace(name, value string) {
	if m.get(name) != "" {
		m.set(name, value)
	}
}

// add adds a member, though there may be one of the name.
func (m *members) add(name, value string) { *m = append(*m, member{name, value}) }

func (m *members) remove(name string) {
	*m = slices.DeleteFunc(*m, func(have member) bool { return have.name == name })
}

func (m *members) get(name string) string {
	for _, have := range *m {
		if have.name == name {
			return have.value
		}
	}
	return ""
}

// String returns the object as JSON.
func (m *members) String() string {
	var b strings.Builder
	for n, have := range *m {
		b.WriteString("{,"[min(n, 1) : min(n, 1)+1])
		b.WriteString(quote(have.name) + ":" + have.value)
	}
	if len(*m) == 0 {
		b.WriteByte('{')
	}
	return b.String() + "}"
}

// quote returns a text as JSON.
func quote(s string) string {
	encoded, err := json.Marshal(s)
	if err != nil { // does not happen with a string
		return `""`
	}
	return string(encoded)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign makes the ES256, ES384 or RS256 signature of a key (RFC 7518, sections 3.3 and
// 3.4). Signer of package jose does not sign what a fault needs.
func sign(private crypto.Signer, input string) ([]byte, error) {
	hash, size := crypto.SHA256, 32
	key, ok := private.(*ecdsa.PrivateKey)
	if ok && key.Curve == elliptic.P384() {
		hash, size = crypto.SHA384, 48
	}
	h := hash.New()
	_, _ = io.WriteString(h, input) // never fails (hash.Hash)
	if !ok {
		return private.Sign(rand.Reader, h.Sum(nil), hash)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature, nil
}
