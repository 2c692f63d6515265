package issuertest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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

// sign makes an ES256 signature (RFC 7518, section 3.4). Signer of package jose does not
// sign what a fault needs.
func sign(key *ecdsa.PrivateKey, input string) ([]byte, error) {
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}
