package middleware

import (
	"errors"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// Token is what a verified access token says (RFC 9068 §2.2). It holds no part of
// the token that could be sent again. Read it only: it may be shared, and what a
// handler writes to its fields changes no check.
type Token struct {
	Issuer    string    // iss: Config.Issuer
	Subject   string    // sub: for client credentials the client itself
	ClientID  string    // client_id: who calls
	ID        string    // jti: with Issuer, the token's identity; its bytes are not
	Audience  []string  // aud: Config.Audience is among them
	Scopes    []string  // scope: what was granted; empty when nothing was
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp: without leeway
	NotBefore time.Time // nbf: the zero time when the token has none

	granted string // the scope claim; what is checked, out of a handler's reach
	claims  jwks.Claims
}

// HasScope reports whether the token was granted exactly this scope: no scope
// includes another. It is false on a nil Token. It goes by the token's own claim,
// not by what Scopes holds by now.
func (t *Token) HasScope(scope string) bool {
	if t == nil || scope == "" {
		return false
	}
	// scope = scope-token *( SP scope-token ), RFC 6749 §3.3: the space alone
	// divides, so no other character can split one scope into two.
	for granted := range strings.SplitSeq(t.granted, " ") {
		if granted == scope {
			return true
		}
	}
	return false
}

// Claims decodes all claims into v, as encoding/json does: a pointer to a struct
// with the custom claims, or to a map. The signature covers them; nothing else
// has been checked about the claims Token has no field for.
func (t *Token) Claims(v any) error {
	if t == nil {
		return errors.New("middleware: no token")
	}
	return t.claims.Unmarshal(v)
}

// verified is a token together with what it was verified as.
type verified struct {
	token      Token
	by         *Bearer // another Bearer has another audience, or other keys
	credential string  // as presented
}
