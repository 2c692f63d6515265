package middleware

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// Token is what a verified access token says (RFC 9068, section 2.2). With [Config.Profile]
// the profile names the claims that are read instead. Each caller of
// [TokenFromContext] or [TokenFrom] gets a copy. Writing to it changes no
// check and no other request. Printed, it shows no part of the token that
// could be sent again. The zero Token has no scope and no claims.
//
// The test of a handler may write one itself, see [WithToken]:
//
//	&bearer.Token{ClientID: "reporter", Scopes: []string{"orders:read"}}
type Token struct {
	Issuer    string    // iss: Config.Issuer
	Subject   string    // sub: for client credentials the client itself
	ClientID  string    // client_id: the caller
	ID        string    // jti: with Issuer, the token's identity; its bytes are not
	Audience  []string  // aud: Config.Audience, or one of Audiences, is among them; empty if Config.Profile does without
	Scopes    []string  // scope: what was granted; empty when nothing was
	Roles     []string  // the claims in Roles of Config.Profile; no scope is among them
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp: without leeway
	NotBefore time.Time // nbf: the zero time when the token has none, or 0

	// Confirmation is cnf: what the token is bound to, and the request has proven. Nil for
	// a plain bearer token.
	Confirmation *Confirmation

	source func() *verified // nil: the program made the Token; a func, so that nothing prints the claims
}

// HasScope reports whether the token was granted exactly this scope: no scope
// includes another. It is false on a nil Token. Of a verified token it reads the claim,
// not the field Scopes, which a handler may have changed. Of a Token that the program
// wrote itself it reads Scopes.
func (t *Token) HasScope(scope string) bool {
	switch {
	case t == nil:
		return false
	case t.source == nil:
		return isScope(scope) && slices.Contains(t.Scopes, scope)
	}
	return hasScope(t.source().scope, scope)
}

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
//
// A Token that the program wrote itself has the claims of its fields that are set, and
// no custom ones.
func (t *Token) Claims(v any) error {
	claims, err := t.document()
	if err != nil {
		return err
	}
	object, err := jose.ParseObject(claims)
	if err != nil {
		return fmt.Errorf("middleware: claims: %w", err)
	}
	return object.Unmarshal(v)
}

var errNoToken = errors.New("middleware: no token")

// document returns the claims as JSON.
func (t *Token) document() (string, error) {
	if t == nil {
		return "", errNoToken
	}
	if t.source == nil {
		return t.written()
	}
	claims, err := base64.RawURLEncoding.DecodeString(t.source().claims())
	if err != nil {
		return "", fmt.Errorf("middleware: claims: %w", err)
	}
	return string(claims), nil
}
