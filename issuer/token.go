package issuer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

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
	lifetime := int64(ttl / time.Second)
	id, scope := newTokenID(), strings.Join(scopes, " ")

	payload, err := i.payload(ctx, c, audience, scopes, scope, id, lifetime)
	if err != nil {
		return nil, serverError(err)
	}
	token, err := i.keys.Sign(ctx, tokenType, payload)
	switch {
	case err != nil:
		return nil, unavailable(err) // no key may sign now, or a KMS does not answer
	case len(token) > maxToken:
		return nil, serverError(errTokenTooLarge)
	}
	if i.observe != nil {
		i.observe(ctx, Event{ClientID: c.ID, TokenID: id, Audience: audience, Scope: scope})
	}
	body := make([]byte, 0, len(token)+len(scope)+96)
	body = append(body, `{"access_token":"`...)
	body = append(body, token...)
	body = append(body, `","token_type":"Bearer","expires_in":`...)
	body = strconv.AppendInt(body, lifetime, 10)
	if scope != "" {
		body = append(body, `,"scope":`...)
		body = appendString(body, scope)
	}
	return append(body, '}'), nil
}

// payload writes the claims of RFC 9068 §2.2.
func (i *Issuer) payload(ctx context.Context, c *Client, audience, scopes []string, scope, id string, lifetime int64) ([]byte, error) {
	now := time.Now().Unix()
	p := make([]byte, 0, 512)
	p = append(p, i.issClaim...)
	p = appendString(p, c.ID)
	p = append(p, `,"aud":`...)
	p = appendAudience(p, audience)
	p = append(p, `,"exp":`...)
	p = strconv.AppendInt(p, now+lifetime, 10)
	p = append(p, `,"iat":`...)
	p = strconv.AppendInt(p, now, 10)
	p = append(p, `,"jti":"`...)
	p = append(p, id...)
	p = append(p, `","client_id":`...)
	p = appendString(p, c.ID)
	if scope != "" {
		p = append(p, `,"scope":`...)
		p = appendString(p, scope)
	}
	if i.claims != nil {
		claims, err := i.claims(ctx, Grant{Client: c, Audience: audience, Scopes: scopes})
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

// newTokenID is a jti: 128 random bits.
func newTokenID() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(random[:])
}
