package issuer

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

const (
	maxToken  = 16 << 10
	tokenType = "at+jwt" // RFC 9068, section 2.1
)

var errTokenTooLarge = errors.New("issuer: the token is larger than 16 KiB, which verifiers refuse: reduce its scopes, or what Config.Claims returned")

// grant makes the token of an authenticated client, and the body of the answer (RFC 6749,
// section 5.1).
func (i *Issuer) grant(q request) (answer, *Error) {
	// Without the feed this replica may not know that the client was cut off.
	if _, behind := i.feed.lag(q.context()); behind != nil {
		return answer{}, unavailable(event.StoreUnavailable, behind)
	}
	// If the clock is ahead, tokens live too long. If it is behind, they seem expired to
	// verifiers.
	if off := i.feed.clock.check(); off != nil {
		return answer{}, unavailable(event.ClockOff, off)
	}
	client := q.caller.client
	if q.form.audience != "" {
		i.advice.audience(client.ID)
	}
	audience, err := i.audience(client, q.form.resource)
	if err != nil {
		return answer{}, err
	}
	scopes, err := i.scope(client, audience, q.form.scope)
	if err != nil {
		return answer{}, err
	}
	c := tokenClaims{Grant{client, audience, scopes}, newTokenID(tokenID{q.caller.number, secretTag(q.caller.secretID)}), time.Now().Unix(), i.lifetime(client), q.bound}
	var room [512]byte
	payload, err := i.appendPayload(q.context(), room[:0], &c)
	if err != nil {
		return answer{}, err
	}
	if !q.bound.counted {
		if err := i.grants.take(client.ID); err != nil {
			return answer{}, err
		}
	}
	token, err := i.sign(q.context(), payload)
	if err != nil {
		return answer{}, err
	}
	body := append(make([]byte, 0, len(token)+256), `{"access_token":"`...)
	body = append(body, token...)
	body = append(body, `","token_type":"`...)
	body = append(body, q.bound.tokenType()...)
	body = append(body, `","expires_in":`...)
	body = strconv.AppendInt(body, c.lifetime, 10)
	if len(scopes) > 0 {
		body = append(body, `,"scope":`...)
		body = appendScope(body, scopes)
	}
	return answer{body: append(body, '}'), tokenID: c.id, audience: audience, scopes: scopes}, nil
}

func (i *Issuer) sign(ctx context.Context, payload []byte) (string, *Error) {
	token, err := i.keys.Sign(ctx, tokenType, payload)
	switch {
	case err != nil:
		return "", unavailable(event.KeysUnavailable, err) // no current key, or a KMS that does not answer
	case len(token) > maxToken:
		return "", serverError(event.Internal, errTokenTooLarge)
	}
	return token, nil
}
