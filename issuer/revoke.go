package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// cutOffFor is how long a cut-off is kept at least: longer than any token lives
// that an earlier configuration may have granted.
const cutOffFor = 90 * 24 * time.Hour

// afterExpiry is how long after its expiry a token can still be taken as valid:
// the longest leeway a verifier may have.
const afterExpiry = 5 * time.Minute

// Revoked reports whether a token of this issuer, or its client since before
// issuedAt, has been revoked: the func for Config.Revoked of package middleware
// in the same process. It is a look-up in memory. What this process revokes it
// knows at once, what another replica does within 2 s. The error means that the
// store's revocations could not be followed for Config.MaxRevocationLag.
func (i *Issuer) Revoked(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
	return i.revocations.revoked(ctx, jti, clientID, issuedAt)
}

// RevokeToken revokes the token with that jti, which expires at expiresAt, or,
// when that is zero, at a time not known but within Config.MaxTokenTTL. When it
// returns nil, this process refuses the token, the others do within 2 s, and
// the revocation survives a crash.
//
// Not checked: that there is such a token.
func (i *Issuer) RevokeToken(ctx context.Context, jti string, expiresAt time.Time) error {
	if jti == "" {
		return errors.New("issuer: RevokeToken without a jti")
	}
	if expiresAt.IsZero() {
		expiresAt = time.Now().Add(i.maxTTL)
	}
	return i.revoke(ctx, Revocation{TokenID: jti, ExpiresAt: expiresAt.Add(afterExpiry)})
}

// RevokeClient revokes every token that the client has been granted up to now,
// those of the current second included. It does not stop the client from
// getting new ones; and for some 2 s another replica may not know that it was
// disabled. A [Registry] therefore revokes by itself, with that margin, when it
// disables or deletes a client.
func (i *Issuer) RevokeClient(ctx context.Context, clientID string) error {
	if clientID == "" {
		return errors.New("issuer: RevokeClient without a client id")
	}
	return i.revoke(ctx, i.cutOff(clientID))
}

func (i *Issuer) cutOff(clientID string) Revocation {
	now := time.Now()
	return Revocation{ClientID: clientID, NotBefore: now, ExpiresAt: now.Add(max(i.maxTTL, cutOffFor) + afterExpiry)}
}

func (i *Issuer) revoke(ctx context.Context, r Revocation) error {
	bound, cancel := context.WithTimeoutCause(ctx, storePatience, errStoreStalled)
	defer cancel()
	if err := i.store.Revoke(bound, r); err != nil {
		return fmt.Errorf("issuer: revoking: %w", err)
	}
	i.revocations.apply(r)
	return nil
}

// revokeRequested is the revocation endpoint (RFC 7009 §2): a client takes one
// of its own tokens back. A token that is no good any more is as good as
// revoked.
func (i *Issuer) revokeRequested(ctx context.Context, r request) ([]byte, *Error) {
	claims, err := i.inspect(ctx, r.token, afterExpiry)
	switch {
	case errors.Is(err, jwks.ErrUnavailable) || ctx.Err() != nil:
		return nil, unavailable(err)
	case err != nil:
		return done, nil
	}
	owner, _, err1 := claims.String("client_id")
	jti, _, err2 := claims.String("jti")
	expiresAt, _, err3 := claims.Time("exp")
	issuedAt, _, err4 := claims.Time("iat")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, serverError(err) // we signed it
	}
	if owner != r.client.ID {
		return nil, &Error{Status: http.StatusBadRequest, Code: "unauthorized_client", Description: "the token is not the client's"}
	}
	if i.revocations.known(jti, owner, issuedAt) {
		return done, nil // once is enough, however often it is asked
	}
	if err := i.RevokeToken(ctx, jti, expiresAt); err != nil {
		return nil, unavailable(err)
	}
	return done, nil
}

var done = []byte("{}") // RFC 7009 §2.2: the status says it all

var errNotOurs = errors.New("issuer: not a token of this issuer that is valid now")

// inspect reads a token of this issuer, whoever it is for. An error that is not
// jwks.ErrUnavailable means that it is not valid now; revocation is not looked
// at.
func (i *Issuer) inspect(ctx context.Context, token string, leeway time.Duration) (jwks.Claims, error) {
	parsed, err := jwks.Parse(token, maxToken)
	if err != nil {
		return jwks.Claims{}, err
	}
	if parsed.Type() != tokenType {
		return jwks.Claims{}, errNotOurs
	}
	key, err := i.keys.Key(ctx, parsed.KeyID(), parsed.Algorithm())
	if err != nil {
		return jwks.Claims{}, err
	}
	payload, err := parsed.Verify(key)
	if err != nil {
		return jwks.Claims{}, err
	}
	claims, err := jwks.ParseClaims(payload)
	if err != nil {
		return jwks.Claims{}, err
	}
	issuer, _, err1 := claims.String("iss")
	expiresAt, _, err2 := claims.Time("exp")
	if err := errors.Join(err1, err2); err != nil {
		return jwks.Claims{}, err
	}
	if issuer != i.url || !time.Now().Before(expiresAt.Add(leeway)) {
		return jwks.Claims{}, errNotOurs
	}
	return claims, nil
}
