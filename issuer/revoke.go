package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
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
	if !i.made() {
		return false, errNotMade
	}
	return i.revocations.revoked(ctx, jti, clientID, issuedAt)
}

// RevokeToken revokes the token with that jti, which expires at expiresAt, or,
// when that is zero, at a time not known but within Config.MaxTokenTTL. When it
// returns nil, this process refuses the token, the others do within 2 s, and
// the revocation survives a crash.
//
// Not checked: that there is such a token.
func (i *Issuer) RevokeToken(ctx context.Context, jti string, expiresAt time.Time) error {
	switch {
	case !i.made():
		return errNotMade
	case jti == "":
		return errors.New("issuer: RevokeToken without a jti")
	}
	o := i.observation()
	err := i.revokeToken(ctx, jti, expiresAt)
	o.reportRevocation(ctx, Event{TokenID: jti}, err)
	return err
}

func (i *Issuer) revokeToken(ctx context.Context, jti string, expiresAt time.Time) error {
	if expiresAt.IsZero() {
		expiresAt = time.Now().Add(i.maxTTL)
	}
	return i.revoke(ctx, registry.Revocation{TokenID: jti, ExpiresAt: expiresAt.Add(afterExpiry)})
}

// RevokeClient revokes every token that the client has been granted up to now,
// those of the current second included. It does not stop the client from
// getting new ones; and for some 2 s another replica may not know that it was
// disabled. A [registry.Manager] therefore revokes by itself, with that margin, when it
// disables or deletes a client.
func (i *Issuer) RevokeClient(ctx context.Context, clientID string) error {
	switch {
	case !i.made():
		return errNotMade
	case clientID == "":
		return errors.New("issuer: RevokeClient without a client id")
	}
	o := i.observation()
	err := i.revoke(ctx, i.cutOff(clientID))
	o.reportRevocation(ctx, Event{Target: clientID}, err)
	return err
}

func (i *Issuer) cutOff(clientID string) registry.Revocation {
	now := time.Now()
	return registry.Revocation{ClientID: clientID, NotBefore: now, ExpiresAt: now.Add(max(i.maxTTL, cutOffFor) + afterExpiry)}
}

func (i *Issuer) revoke(ctx context.Context, r registry.Revocation) error {
	bound, cancel := context.WithTimeoutCause(ctx, storePatience, errStoreStalled)
	defer cancel()
	if err := i.store.Revoke(bound, r); err != nil {
		return fmt.Errorf("issuer: revoking: %w", err)
	}
	i.revocations.apply(r)
	return nil
}
