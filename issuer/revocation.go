package issuer

import (
	"errors"
	"net/http"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

var done = []byte("{}") // RFC 7009, section 2.2: clients ignore the body

// revokeRequested answers the revocation endpoint (RFC 7009, section 2): a client revokes
// one of its own tokens. A token that is no longer valid counts as revoked. The cost per
// client is bounded by maxRevocations and maxWrites.
func (i *Issuer) revokeRequested(q request) (answer, *Error) {
	ctx := q.context()
	// By a clock that is ahead, a token that is still valid elsewhere seems expired.
	claims, err := i.inspect(ctx, q.form.token, afterExpiry+i.feed.clock.ahead())
	switch {
	case errors.Is(err, jwks.ErrUnavailable) || ctx.Err() != nil:
		return answer{}, unavailable(event.KeysUnavailable, err)
	case err != nil:
		return answer{body: done}, nil
	}
	owner, _, err1 := claims.String("client_id")
	jti, _, err2 := claims.String("jti")
	expiresAt, _, err3 := claims.Time("exp")
	if err := errors.Join(err1, err2, err3); err != nil {
		return answer{}, serverError(event.Internal, err) // this issuer signed it
	}
	a := answer{body: done, tokenID: jti}
	if owner != q.caller.client.ID {
		return a, &Error{
			Status: http.StatusBadRequest, Code: "unauthorized_client", Description: "the token belongs to another client",
			reason: event.ForeignToken,
		}
	}
	if i.revoked.has(jti, owner) {
		return a, nil // it is in the feed already
	}
	if !i.writing.begin(owner) {
		return a, errWriting()
	}
	defer i.writing.end(owner)
	change := i.tokenRevoked(jti, owner, expiresAt)
	if i.revoked.of(owner) >= maxRevocations {
		change = registry.CutOff(owner)
	}
	if err := i.revoke(ctx, change); err != nil {
		return a, unavailable(event.StoreUnavailable, err)
	}
	return a, nil
}

var errManyWrites = errors.New("issuer: too many revocations of this client are under way")

func errWriting() *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Description: "too many revocations at once, try again in a moment",
		RetryAfter: 1, reason: event.Busy, cause: errManyWrites,
	}
}
