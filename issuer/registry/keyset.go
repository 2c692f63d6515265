package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxKeySet bounds a key set, so that a record fits into a request of the admin API.
const maxKeySet = 32 << 10

// privateMembers are the members of a JWK that a public key does not have (RFC 7518,
// section 6, RFC 8037 and the AKP keys of ML-DSA). The name k is that of a symmetric key.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// keySetProblem returns what is wrong with the form of a JWK set. It knows no algorithm.
// It refuses private keys, because everyone who reads clients reads this field.
func keySetProblem(set json.RawMessage) string {
	if len(set) > maxKeySet {
		return fmt.Sprintf("has %d bytes: write at most %d", len(set), maxKeySet)
	}
	var keys []map[string]json.RawMessage
	if list, ok := onlyKeys(set); !ok || json.Unmarshal(list, &keys) != nil {
		return `is no JWK set: write {"keys": [{…}]}`
	}
	if len(keys) == 0 {
		return "has no key: leave it out"
	}
	for n, key := range keys {
		if key == nil {
			return fmt.Sprintf("keys[%d] is no JSON object", n)
		}
		for _, member := range privateMembers {
			if _, private := key[member]; private {
				return fmt.Sprintf("keys[%d] has the member %q of a private or symmetric key: write the public key only", n, member)
			}
		}
	}
	return ""
}

// onlyKeys returns the member keys of a JSON object that has it once. Readers disagree
// about which of two is the right one.
func onlyKeys(set []byte) (keys json.RawMessage, ok bool) {
	if !utf8.Valid(set) || !json.Valid(set) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(set))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	for decoder.More() {
		name, errName := decoder.Token()
		var value json.RawMessage
		errValue := decoder.Decode(&value)
		if errName != nil || errValue != nil || name == "keys" && keys != nil {
			return nil, false
		}
		if name == "keys" {
			keys = value
		}
	}
	return keys, keys != nil
}

// isRemote reports whether the text is a URL from which keys may be fetched.
func isRemote(s string) bool {
	u, err := url.Parse(s)
	if err != nil || !isAudience(s) || u.Hostname() == "" || u.User != nil || u.Opaque != "" || strings.Contains(s, "#") {
		return false
	}
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
