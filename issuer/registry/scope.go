package registry

import (
	"fmt"
	"slices"
	"strings"
)

// ValidScope reports whether s is one scope (RFC 6749, section 3.3): printable ASCII
// without space, quote and backslash.
func ValidScope(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// ParseScope reads a scope parameter (RFC 6749, section 3.3): at most 256 scopes, with
// one space between them. A scope named twice counts once.
func ParseScope(s string) ([]string, error) {
	scopes := make([]string, 0, min(maxScopes, strings.Count(s, " "))+1)
	for token := range strings.SplitSeq(s, " ") {
		if !ValidScope(token) {
			return nil, fmt.Errorf("registry: scope %d of the request is empty or has a character that is not allowed", len(scopes)+1)
		}
		if !slices.Contains(scopes, token) {
			scopes = append(scopes, token)
		}
		if len(scopes) > maxScopes {
			return nil, fmt.Errorf("registry: more than %d scopes", maxScopes)
		}
	}
	return scopes, nil
}

const maxScopes = 256
