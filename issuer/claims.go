package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// reserved are the claims that Config.Claims must not set: those of RFC 9068, and others
// by which verifiers decide.
var reserved = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "nbf": true, "iat": true, "jti": true,
	"client_id": true, "scope": true, "scp": true, "cnf": true, "act": true, "may_act": true, "azp": true,
	"active": true, "token_type": true, // members of an introspection answer (RFC 7662), beside the claims
}

// appendCustom appends the claims that Config.Claims returns to the payload.
func (i *Issuer) appendCustom(ctx context.Context, payload []byte, g Grant) ([]byte, *Error) {
	claims, err := i.claims(ctx, g)
	if err != nil {
		return nil, claimsRefused(err)
	}
	if payload, err = appendClaims(payload, claims); err != nil {
		return nil, serverError(event.ClaimsRefused, err)
	}
	// A json.RawMessage can hold half a surrogate pair, for example.
	if _, err := jose.ParseObject(string(payload) + "}"); err != nil {
		return nil, serverError(event.ClaimsRefused, fmt.Errorf("issuer: Config.Claims returned claims that verifiers refuse: %w", err))
	}
	return payload, nil
}

// claimsRefused returns the answer to an error of Config.Claims: that error, if it is a
// usable Error, else 500.
func claimsRefused(err error) *Error {
	var own *Error
	if errors.As(err, &own) && own != nil && own.Status >= 400 && own.Status <= 599 && own.Code != "" {
		return &Error{Status: own.Status, Code: own.Code, Description: own.Description, RetryAfter: own.RetryAfter, reason: event.ClaimsRefused, cause: err}
	}
	return serverError(event.ClaimsRefused, err)
}

// appendClaims appends the members to an open JSON object, sorted by name.
func appendClaims(dst []byte, claims map[string]any) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if !isClaimName(name) {
			return nil, fmt.Errorf("issuer: Config.Claims returned the name %q: write 1 to 64 of A-Z a-z 0-9 _ : . / -", name)
		}
		// Some verifiers, encoding/json among them, read "SUB" as "sub".
		if reserved[strings.ToLower(name)] {
			return nil, fmt.Errorf("issuer: Config.Claims returned %q, which is reserved", name)
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
