package issuer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

const (
	maxToken  = 16 << 10
	tokenType = "at+jwt" // RFC 9068 §2.1
)

// grant makes the token for an authenticated client, and the body that hands it
// over (RFC 6749 §5.1).
func (i *Issuer) grant(ctx context.Context, t request) ([]byte, *Error) {
	c := t.client
	audience, refusal := i.audience(c, t.resource)
	if refusal != nil {
		return nil, refusal
	}
	scopes, refusal := i.scope(c, audience, t.scope)
	if refusal != nil {
		return nil, refusal
	}
	ttl := i.ttl
	if c.TokenTTL > 0 {
		ttl = min(c.TokenTTL, i.maxTTL)
	}
	g := tokenClaims{client: c, audience: audience, scopes: scopes, id: newTokenID(), now: time.Now().Unix(), lifetime: int64(ttl / time.Second)}
	var room [512]byte
	payload, err := i.appendPayload(ctx, room[:0], &g)
	if err != nil {
		return nil, serverError(err)
	}
	// One buffer for the answer, the token in it.
	const before = `{"access_token":"`
	const around = 600 // the header and the signature of the token, and the members beside it
	body := append(make([]byte, 0, len(payload)*4/3+around), before...)
	body, err = i.keys.AppendSign(ctx, body, tokenType, payload)
	switch {
	case err != nil:
		return nil, unavailable(err) // no key may sign now, or a KMS does not answer
	case len(body)-len(before) > maxToken:
		return nil, serverError(errTokenTooLarge)
	}
	body = append(body, `","token_type":"Bearer","expires_in":`...)
	body = strconv.AppendInt(body, g.lifetime, 10)
	if len(scopes) > 0 {
		body = append(body, `,"scope":`...)
		body = appendScope(body, scopes)
	}
	if i.observe != nil {
		i.observe(ctx, Event{ClientID: c.ID, TokenID: string(g.id[:]), Audience: audience, Scope: strings.Join(scopes, " ")})
	}
	return append(body, '}'), nil
}

// tokenClaims is what a token is going to say.
type tokenClaims struct {
	client           *registry.Client
	audience, scopes []string
	id               tokenID
	now, lifetime    int64 // seconds
}

// tokenID is a jti.
type tokenID [22]byte

// newTokenID is 128 random bits.
func newTokenID() (id tokenID) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	base64.RawURLEncoding.Encode(id[:], random[:])
	return id
}

// appendPayload writes the claims of RFC 9068 §2.2.
func (i *Issuer) appendPayload(ctx context.Context, p []byte, g *tokenClaims) ([]byte, error) {
	p = append(p, i.issClaim...)
	p = appendString(p, g.client.ID)
	p = append(p, `,"aud":`...)
	p = appendAudience(p, g.audience)
	p = append(p, `,"exp":`...)
	p = strconv.AppendInt(p, g.now+g.lifetime, 10)
	p = append(p, `,"iat":`...)
	p = strconv.AppendInt(p, g.now, 10)
	p = append(p, `,"jti":"`...)
	p = append(p, g.id[:]...)
	p = append(p, `","client_id":`...)
	p = appendString(p, g.client.ID)
	if len(g.scopes) > 0 {
		p = append(p, `,"scope":`...)
		p = appendScope(p, g.scopes)
	}
	if i.claims != nil {
		claims, err := i.claims(ctx, Grant{Client: g.client, Audience: g.audience, Scopes: g.scopes})
		if err != nil {
			return nil, err
		}
		if p, err = appendClaims(p, claims); err != nil {
			return nil, err
		}
		// Such as half a surrogate pair in a json.RawMessage.
		if _, err := jwks.ParseClaims(string(p) + "}"); err != nil {
			return nil, fmt.Errorf("issuer: Config.Claims returned what verifiers refuse: %w", err)
		}
	}
	return append(p, '}'), nil
}
