package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// afterExpiry is how long after its expiry a token can still be taken as valid:
// the longest leeway a verifier may have.
const afterExpiry = 5 * time.Minute

// Revoked reports whether a token of this issuer, or its client since before
// issuedAt, has been revoked: the func for Config.Revoked of package middleware
// in the same process. It is a look-up in memory. What this process revokes counts
// at once, what another replica revokes within 2 s. The error means that the
// store's feed could not be followed for Config.MaxRevocationLag.
func (i *Issuer) Revoked(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
	if !i.made() {
		return false, errNotMade
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
	return i.revoke(ctx, registry.Change{Kind: registry.TokenRevoked, TokenID: jti, ExpiresAt: expiresAt.Add(afterExpiry)})
}

// RevokeClient revokes every token that the client has been granted up to now,
// those of the current second included. It does not stop the client from getting
// new ones. For up to 2 s another replica may still grant tokens to a client that
// was just disabled, so the Update and Delete of a [registry.Manager] revoke by
// themselves, 5 s ahead.
func (i *Issuer) RevokeClient(ctx context.Context, clientID string) error {
	switch {
	case !i.made():
		return errNotMade
	case clientID == "":
		return errors.New("issuer: RevokeClient without a client id")
	}
	o := i.observation()
	err := i.revoke(ctx, registry.CutOff(clientID))
	o.reportRevocation(ctx, Event{Target: clientID}, err)
	return err
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
	if !i.made() {
		return errNotMade
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
