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

// Revoked reports whether a token of this issuer has been revoked: by its jti, or
// by a cut-off of its client, its secret or all clients that the jti's number lies
// below. It is the func for Config.Revoked of package middleware in the same
// process, a look-up in memory. What this process revokes counts at once. What
// another replica revokes counts within 2 s while this one reads the store's feed,
// and within Config.MaxRevocationLag in any case: then the error says that the
// feed could not be followed. issuedAt decides nothing.
func (i *Issuer) Revoked(ctx context.Context, jti, clientID string, _ time.Time) (bool, error) {
	if !i.made() {
		return false, errNotMade
	}
	i.background()
	if _, err := i.feed.lag(ctx); err != nil {
		return false, err
	}
	return i.revoked.has(jti, clientID), nil
}

// RevokeToken revokes the token with that jti, which expires at expiresAt, or,
// when that is zero, at a time not known but within Config.MaxTokenTTL. When it
// returns nil, this process refuses the token, the others do within the time that
// [Issuer.Revoked] states, and the revocation survives a crash.
//
// Not checked: that there is such a token.
func (i *Issuer) RevokeToken(ctx context.Context, jti string, expiresAt time.Time) error {
	if jti == "" {
		return i.refuse("RevokeToken without a jti")
	}
	return i.revokeNow(ctx, Event{TokenID: jti}, i.tokenRevoked(jti, "", expiresAt))
}

// tokenRevoked is the change that revokes a token, of a client if that is known.
func (i *Issuer) tokenRevoked(jti, clientID string, expiresAt time.Time) registry.Change {
	if expiresAt.IsZero() && i.made() {
		expiresAt = i.feed.clock.store().Add(i.maxTTL)
	}
	return registry.Change{Kind: registry.TokenRevoked, TokenID: jti, ClientID: clientID, ExpiresAt: expiresAt.Add(afterExpiry)}
}

// RevokeClient revokes every token that the client has been granted so far, as
// RevokeToken does one: one entry in the feed, however many they are. It does not
// stop the client from getting new ones; Update and Delete of a
// [registry.Manager] do, and revoke in the same step.
//
// A token that a replica grants before it has read the entry, within 2 s, is
// refused too, once the entry is known: clients that run on then need one more
// token.
//
// Not checked: that there is such a client.
func (i *Issuer) RevokeClient(ctx context.Context, clientID string) error {
	if clientID == "" {
		return i.refuse("RevokeClient without a client id")
	}
	return i.revokeNow(ctx, Event{Target: clientID}, registry.CutOff(clientID))
}

// RevokeSecret revokes every token that the client has got with the secret of
// that id, as RevokeClient does all of them. The secret stays valid, if it is
// there; RemoveSecret of a [registry.Manager] takes it away, and can revoke in the
// same step.
//
// Not checked: that the client has, or had, such a secret.
func (i *Issuer) RevokeSecret(ctx context.Context, clientID, secretID string) error {
	if clientID == "" || secretID == "" {
		return i.refuse("RevokeSecret without a client id or secret id")
	}
	return i.revokeNow(ctx, Event{Target: clientID, SecretID: secretID}, registry.Change{Kind: registry.SecretCutOff, ClientID: clientID, SecretID: secretID})
}

// RevokeAll revokes every token that any client has been granted so far, as
// RevokeClient does those of one.
func (i *Issuer) RevokeAll(ctx context.Context) error {
	return i.revokeNow(ctx, Event{Target: "*"}, registry.Change{Kind: registry.AllCutOff})
}

func (i *Issuer) refuse(what string) error {
	if !i.made() {
		return errNotMade
	}
	return errors.New("issuer: " + what)
}

// revokeNow revokes for the program, and reports that.
func (i *Issuer) revokeNow(ctx context.Context, e Event, c registry.Change) error {
	if !i.made() {
		return errNotMade
	}
	o := i.observation()
	err := i.revoke(registry.AsOperator(ctx), c)
	o.reportRevocation(ctx, e, err)
	return err
}

// revoke writes a change to the feed and makes it count here. After a cut-off it
// reads the feed, so that what is granted here from now on has a number above it.
func (i *Issuer) revoke(ctx context.Context, c registry.Change) (err error) {
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	if c.Sequence, err = i.store.Revoke(bound, c); err != nil {
		return fmt.Errorf("issuer: revoking: %w", err)
	}
	if c.Kind == registry.TokenRevoked {
		i.apply(c)
		return nil
	}
	c.ExpiresAt = time.Now().Add(c.Kind.Lifetime()) // the store's own time is in the feed
	i.apply(c)
	_ = i.feed.poll(bound) // if it fails, the price is that of a replica that lags
	return nil
}

// Sync reads the store's feed to its end, now: when it returns nil, every change
// that was written before the call counts in this process. Call it after a write
// to the store that requests to this process are to see at once; without it they
// do within 2 s, while the store answers.
func (i *Issuer) Sync(ctx context.Context) error {
	if !i.made() {
		return errNotMade
	}
	i.background()
	return i.feed.poll(ctx)
}

// apply makes a change of the feed count here.
func (i *Issuer) apply(c registry.Change) {
	i.revoked.add(c)
	i.ledger.add(c)
	switch c.Kind {
	case registry.TokenRevoked: // changes no record
	case registry.AllCutOff:
		i.clients.evictAll()
	case registry.ClientCutOff, registry.SecretCutOff, registry.ClientChanged:
		i.clients.evict(c.ClientID)
	}
}
