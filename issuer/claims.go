package issuer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reserved are the claims that Config.Claims must not set: those of RFC 9068
// and what verifiers take decisions by.
var reserved = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "nbf": true, "iat": true, "jti": true,
	"client_id": true, "scope": true, "scp": true, "cnf": true, "act": true, "may_act": true, "azp": true,
	"active": true, "token_type": true, // of RFC 7662, where the claims stand beside them
}

// appendClaims adds the members to a JSON object that is being written, in
// order of their names.
func appendClaims(dst []byte, claims map[string]any) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if !isClaimName(name) {
			return nil, fmt.Errorf("issuer: Config.Claims returned the name %q: write 1 to 64 of A-Z a-z 0-9 _ : . / -", name)
		}
		// encoding/json and others take "SUB" for "sub".
		if reserved[strings.ToLower(name)] {
			return nil, fmt.Errorf("issuer: Config.Claims returned %q, which is not its to set", name)
		}
		value, err := json.Marshal(claims[name])
		if err != nil {
			return nil, fmt.Errorf("issuer: Config.Claims returned a %s that has no JSON form: %w", name, err)
		}
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = append(dst, value...)
	}
	return dst, nil
}

func isClaimName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == ':', c == '.', c == '/', c == '-':
		default:
			return false
		}
	}
	return true
}

// appendString writes a JSON string.
func appendString(dst []byte, s string) []byte {
	if !isPlain(s) {
		encoded, err := json.Marshal(s)
		if err != nil { // not for a string
			encoded = []byte(`""`)
		}
		return append(dst, encoded...)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// isPlain reports whether nothing in s needs an escape in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// appendScope writes scopes as one JSON string. A scope needs no escape (RFC 6749
// §3.3), but the client's come from a store.
func appendScope(dst []byte, scopes []string) []byte {
	start := len(dst)
	dst = append(dst, '"')
	for n, s := range scopes {
		if !isPlain(s) {
			return appendString(dst[:start], strings.Join(scopes, " "))
		}
		if n > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, s...)
	}
	return append(dst, '"')
}

// appendAudience writes aud: a string for one, an array for more (RFC 7519
// §4.1.3).
func appendAudience(dst []byte, audience []string) []byte {
	if len(audience) == 1 {
		return appendString(dst, audience[0])
	}
	for n, a := range audience {
		dst = append(dst, "[,"[min(n, 1)])
		dst = appendString(dst, a)
	}
	return append(dst, ']')
}

var errTokenTooLarge = errors.New("issuer: the token, with its scopes and what Config.Claims returned, is larger than 16 KiB, which verifiers refuse")
