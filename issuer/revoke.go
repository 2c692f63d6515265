package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// afterExpiry is how long after its expiry a token can still be taken as valid:
// the longest leeway a verifier may have.
const afterExpiry = 5 * time.Minute

var errZeroIssuer = errors.New("issuer: the Issuer was not made by New")

// ready returns an error for an issuer that was not made by New.
func (i *Issuer) ready() error {
	if i == nil || i.feed == nil {
		return errZeroIssuer
	}
	return nil
}

// Revoked reports whether a token of this issuer, or its client since before
// issuedAt, has been revoked: the func for Config.Revoked of package middleware
// in the same process. It is a look-up in memory. What this process revokes counts
// at once, what another replica revokes within 2 s. The error means that the
// store's feed could not be followed for Config.MaxRevocationLag.
func (i *Issuer) Revoked(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
	if err := i.ready(); err != nil {
		return false, err
	}
	i.background()
	if err := i.feed.ready(ctx); err != nil {
		return false, err
	}
	return i.revoked.has(jti, clientID, issuedAt), nil
}

// RevokeToken revokes the token with that jti, which expires at expiresAt, or,
// when that is zero, at a time not known but within Config.MaxTokenTTL. When it
// returns nil, this process refuses the token, the others do within 2 s, and
// the revocation survives a crash.
//
// Not checked: that there is such a token.
func (i *Issuer) RevokeToken(ctx context.Context, jti string, expiresAt time.Time) error {
	if err := i.ready(); err != nil {
		return err
	}
	if jti == "" {
		return errors.New("issuer: RevokeToken without a jti")
	}
	if expiresAt.IsZero() {
		expiresAt = time.Now().Add(i.maxTTL)
	}
	return i.revoke(ctx, registry.Change{Kind: registry.TokenRevoked, TokenID: jti, ExpiresAt: expiresAt.Add(afterExpiry)})
}

// RevokeClient revokes every token that the client has been granted up to now,
// those of the current second included. It does not stop the client from getting
// new ones. For up to 2 s another replica may still grant tokens to a client that
// was just disabled, so the Update and Delete of a [registry.Manager] revoke by
// themselves, 5 s ahead.
func (i *Issuer) RevokeClient(ctx context.Context, clientID string) error {
	if err := i.ready(); err != nil {
		return err
	}
	if clientID == "" {
		return errors.New("issuer: RevokeClient without a client id")
	}
	return i.revoke(ctx, registry.CutOff(clientID, time.Now(), i.maxTTL))
}

func (i *Issuer) revoke(ctx context.Context, c registry.Change) error {
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	if _, err := i.store.Revoke(bound, c); err != nil {
		return fmt.Errorf("issuer: revoking: %w", err)
	}
	i.apply(c)
	return nil
}

// Sync reads the store's feed to its end, now: when it returns nil, every change
// that was written before the call counts in this process. Call it after a write
// to the store that requests to this process are to see at once; without it they
// do within 2 s.
func (i *Issuer) Sync(ctx context.Context) error {
	if err := i.ready(); err != nil {
		return err
	}
	i.background()
	if err := i.feed.poll(ctx); err != nil {
		return fmt.Errorf("issuer: reading the feed: %w", err)
	}
	return nil
}

// apply makes a change of the feed count here.
func (i *Issuer) apply(c registry.Change) {
	i.revoked.add(c)
	if c.Kind != registry.TokenRevoked {
		i.clients.evict(c.ClientID)
	}
}

// revokeRequested is the revocation endpoint (RFC 7009, section 2): a client
// revokes one of its own tokens. A token that is not valid needs no revocation.
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
	if i.revoked.has(jti, owner, issuedAt) {
		return done, nil // one entry is enough
	}
	if err := i.RevokeToken(ctx, jti, expiresAt); err != nil {
		return nil, unavailable(err)
	}
	return done, nil
}

var done = []byte("{}") // RFC 7009, section 2.2: the status says it all
