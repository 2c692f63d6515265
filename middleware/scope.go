package middleware

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// scopeRule is what one route asks for.
type scopeRule struct {
	scopes []string
	any    bool   // one of scopes is enough; else all are needed
	needed string // for the challenge
	cause  error  // set when no token can ever satisfy the rule
}

func newScopeRule(scopes []string, anyOf bool) *scopeRule {
	rule := &scopeRule{scopes: slices.Clone(scopes), any: anyOf}
	if anyOf && len(scopes) == 0 {
		rule.cause = errors.New("middleware: any of no scopes")
		return rule
	}
	for _, s := range rule.scopes {
		if !isScope(s) {
			rule.cause = fmt.Errorf("middleware: no token can have the scope %q", s)
			return rule
		}
	}
	rule.needed = strings.Join(rule.scopes, " ")
	return rule
}

// isScope reports whether a scope can exist (RFC 6749, section 3.3):
// scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// check returns nil for a token with enough scopes in its claim, else the refusal.
func (s *scopeRule) check(claim string) *Error {
	if s.cause != nil {
		return insufficientScope(event.Misconfigured, "", s.cause)
	}
	if s.any {
		if !slices.ContainsFunc(s.scopes, func(scope string) bool { return hasScope(claim, scope) }) {
			return insufficientScope(event.InsufficientScope, s.needed, fmt.Errorf("middleware: none of the scopes %q granted", s.scopes))
		}
		return nil
	}
	for _, scope := range s.scopes {
		if !hasScope(claim, scope) {
			return insufficientScope(event.InsufficientScope, s.needed, fmt.Errorf("middleware: scope %q not granted", scope))
		}
	}
	return nil
}
