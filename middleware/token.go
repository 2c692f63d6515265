package middleware

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// Token is what a verified access token says (RFC 9068 §2.2). It is a copy, which
// [TokenFrom] makes for whoever calls it: what is written to it changes no check,
// and no other request sees it. Printed, it shows no part of the token that could
// be sent again.
type Token struct {
	Issuer    string    // iss: Config.Issuer
	Subject   string    // sub: for client credentials the client itself
	ClientID  string    // client_id: who calls
	ID        string    // jti: with Issuer, the token's identity; its bytes are not
	Audience  []string  // aud: Config.Audience is among them
	Scopes    []string  // scope: what was granted; empty when nothing was
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp: without leeway
	NotBefore time.Time // nbf: the zero time when the token has none, or 0

	granted string        // the scope claim
	encoded func() string // all claims, where nothing that prints or walks a Token gets at them
}

// HasScope reports whether the token was granted exactly this scope: no scope
// includes another. It is false on a nil Token. It goes by the token's own claim,
// not by what Scopes holds by now.
func (t *Token) HasScope(scope string) bool { return t != nil && hasScope(t.granted, scope) }

// hasScope looks for a scope in a scope claim:
// scope = scope-token *( SP scope-token ), RFC 6749 §3.3. The space alone divides,
// so no other character can split one scope into two.
func hasScope(claim, scope string) bool {
	for granted := range strings.SplitSeq(claim, " ") {
		if granted == scope {
			return scope != ""
		}
	}
	return false
}

// Claims decodes all claims into v, as encoding/json does: a pointer to a struct
// with the custom claims, or to a map. The signature covers them; nothing else
// has been checked about the claims Token has no field for.
func (t *Token) Claims(v any) error {
	if t == nil || t.encoded == nil {
		return errors.New("middleware: no token")
	}
	claims, err := base64.RawURLEncoding.DecodeString(t.encoded())
	if err != nil {
		return fmt.Errorf("middleware: claims: %w", err)
	}
	return json.Unmarshal(claims, v)
}

// verdict is a token that has been verified, and as what. Once others can find
// it, it does not change, used and place aside, and nobody outside this package
// gets at it.
type verdict struct {
	by  *Bearer // another one has another audience, or other keys
	key *jwks.Key
	kid string // under which the token asks for the key
	raw string // the token as presented

	id, subject string
	client      *client
	audiences   *[]string // nil: the Bearer's own alone, as most tokens have it

	expiresAt, issuedAt, notBefore int64 // in unix seconds; notBefore 0: none

	used  atomic.Uint32 // unix second when it last came
	place uint32        // in its shard of verdicts
}

// client is what the tokens of a client mostly have in common.
type client struct {
	id    string
	scope string // the claim
}

// expired reports whether the token is, leeway included.
func (v *verdict) expired(now time.Time) bool {
	return now.Unix() >= v.expiresAt && now.Add(-v.by.leeway).Unix() >= v.expiresAt
}

// comes notes that the token is in use. now may be a while ago, for a request that
// waited, and the clock may have been set back.
func (v *verdict) comes(now time.Time) {
	second := uint32(now.Unix())
	if later := int32(second - v.used.Load()); later > 0 || later < -useLasts {
		v.used.Store(second)
	}
}

// inUse reports whether the token came not long ago, and may come again.
func (v *verdict) inUse(now time.Time) bool {
	since := int32(uint32(now.Unix()) - v.used.Load())
	return -useLasts <= since && since < useLasts && !v.expired(now)
}

func (v *verdict) audience() []string {
	if v.audiences == nil {
		return v.by.audiences
	}
	return *v.audiences
}

// token is the verdict for a handler to keep.
func (v *verdict) token() *Token {
	var copied struct { // in one piece, mostly
		Token
		audience [1]string
		scopes   [4]string
	}
	t := &copied.Token
	*t = Token{
		Issuer: v.by.issuer, Subject: v.subject, ClientID: v.client.id, ID: v.id,
		Audience: append(copied.audience[:0], v.audience()...),
		IssuedAt: time.Unix(v.issuedAt, 0), ExpiresAt: time.Unix(v.expiresAt, 0),
		granted: v.client.scope, encoded: v.claims,
	}
	if v.notBefore != 0 {
		t.NotBefore = time.Unix(v.notBefore, 0)
	}
	if t.granted == "" {
		return t
	}
	t.Scopes = copied.scopes[:0]
	for scope := range strings.SplitSeq(t.granted, " ") {
		if scope != "" {
			t.Scopes = append(t.Scopes, scope)
		}
	}
	return t
}

// claims are the token's, encoded.
func (v *verdict) claims() string {
	_, rest, _ := strings.Cut(v.raw, ".")
	claims, _, _ := strings.Cut(rest, ".")
	return claims
}

// settle moves what the verdict says to memory of its own, out of the request
// that it came in, or shares what others hold already.
func (v *verdict) settle(c *client) {
	both := v.raw + v.id // in one piece
	v.raw, v.id = both[:len(v.raw)], both[len(v.raw):]
	if v.subject == c.id {
		v.subject = c.id
	} else {
		v.subject = strings.Clone(v.subject)
	}
	v.client = c
	if v.audiences == nil {
		return
	}
	own := make([]string, len(*v.audiences))
	for i, a := range *v.audiences {
		own[i] = strings.Clone(a)
	}
	v.audiences = &own
}
