package issuer

import (
	"context"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

var errNotOurs = errors.New("issuer: not a token of this issuer that is valid now")

// inspect verifies a token of this issuer, for any audience, and returns its claims. An
// error other than jwks.ErrUnavailable means that the token is not valid now.
//
// Not checked: whether it was revoked.
func (i *Issuer) inspect(ctx context.Context, token string, leeway time.Duration) (jose.Object, error) {
	parsed, err := jose.Parse(token, maxToken)
	if err != nil {
		return jose.Object{}, err
	}
	if parsed.Type() != tokenType {
		return jose.Object{}, errNotOurs
	}
	key, err := i.keys.Key(ctx, parsed.KeyID(), parsed.Algorithm())
	if err != nil {
		return jose.Object{}, err
	}
	payload, err := parsed.Verify(key)
	if err != nil {
		return jose.Object{}, err
	}
	claims, err := jose.ParseObject(payload)
	if err != nil {
		return jose.Object{}, err
	}
	issuer, _, err1 := claims.String("iss")
	expiresAt, _, err2 := claims.Time("exp")
	if err := errors.Join(err1, err2); err != nil {
		return jose.Object{}, err
	}
	if issuer != i.url || !time.Now().Before(expiresAt.Add(leeway)) {
		return jose.Object{}, errNotOurs
	}
	return claims, nil
}
