package middleware

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Token is what a verified access token says (RFC 9068, section 2.2). Each caller of
// [TokenFromContext] or [TokenFrom] gets a copy. Writing to it changes no
// check and no other request. Printed, it shows no part of the token that
// could be sent again. The zero Token has no scope and no claims.
type Token struct {
	Issuer    string    // iss: Config.Issuer
	Subject   string    // sub: for client credentials the client itself
	ClientID  string    // client_id: the caller
	ID        string    // jti: with Issuer, the token's identity; its bytes are not
	Audience  []string  // aud: Config.Audience, or one of Audiences, is among them
	Scopes    []string  // scope: what was granted; empty when nothing was
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp: without leeway
	NotBefore time.Time // nbf: the zero time when the token has none, or 0

	granted string        // the scope claim
	encoded func() string // returns all claims; a func, so that nothing prints them
}

// HasScope reports whether the token was granted exactly this scope: no scope
// includes another. It is false on a nil Token. It reads the token's own claim, not
// the field Scopes.
func (t *Token) HasScope(scope string) bool { return t != nil && hasScope(t.granted, scope) }

// hasScope reports whether a scope claim has the scope:
// scope = scope-token *( SP scope-token ), RFC 6749, section 3.3. The space alone divides,
// so no other character can split one scope into two.
func hasScope(claim, scope string) bool {
	for claim != "" {
		var granted string
		if granted, claim, _ = strings.Cut(claim, " "); granted == scope {
			return scope != ""
		}
	}
	return false
}

// Claims decodes all claims into v, as encoding/json does: a pointer to a struct
// with the custom claims, or to a map. The signature covers them; nothing else
// has been checked about the claims Token has no field for. Into a struct, two claims
// whose names differ in case alone are an error, as encoding/json takes either for a
// field.
func (t *Token) Claims(v any) error {
	if t == nil || t.encoded == nil {
		return errors.New("middleware: no token")
	}
	claims, err := base64.RawURLEncoding.DecodeString(t.encoded())
	if err != nil {
		return fmt.Errorf("middleware: claims: %w", err)
	}
	object, err := jose.ParseObject(string(claims))
	if err != nil {
		return fmt.Errorf("middleware: claims: %w", err)
	}
	return object.Unmarshal(v)
}
