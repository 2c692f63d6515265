package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// afterExpiry is how long after its expiry a token may still be accepted: the longest
// leeway of a verifier.
const afterExpiry = 5 * time.Minute

// Revoked reports whether a token of this issuer has been revoked: by its jti, or by a
// cut-off of its client, of its secret, or of all clients. It is the func for
// Config.Revoked of package middleware in the same process. It is a lookup in memory.
//
// What this process revokes counts at once. What another replica revokes counts within
// 2 s while the store's feed can be read. If it could not be read for
// Config.MaxRevocationLag, Revoked returns an error. The last argument, the token's iat,
// is not used.
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

// RevokeToken revokes the token with that jti, which expires at expiresAt. A zero
// expiresAt means that the expiry is not known; the token then expires within
// Config.MaxTokenTTL. When RevokeToken returns nil, this process refuses the token, other
// replicas do within the time that [Issuer.Revoked] states, and the revocation survives a
// crash.
//
// Not checked: whether there is such a token.
func (i *Issuer) RevokeToken(ctx context.Context, jti string, expiresAt time.Time) error {
	if jti == "" {
		return i.refuse("RevokeToken without a jti")
	}
	return i.revokeNow(ctx, Event{TokenID: jti}, i.tokenRevoked(jti, "", expiresAt))
}

// tokenRevoked returns the change that revokes a token. clientID is empty if the client
// is not known.
func (i *Issuer) tokenRevoked(jti, clientID string, expiresAt time.Time) registry.Change {
	if expiresAt.IsZero() && i.made() {
		expiresAt = i.feed.clock.store().Add(i.maxTTL)
	}
	return registry.Change{Kind: registry.TokenRevoked, TokenID: jti, ClientID: clientID, ExpiresAt: expiresAt.Add(afterExpiry)}
}

// RevokeClient revokes every token that the client has been granted so far, by one entry
// in the feed. It does not stop the client from getting new tokens. Update and Delete of
// a [registry.Manager] do that, and revoke in the same step.
//
// Another replica may grant a token before it has read the entry, for up to 2 s. That
// token is refused too, once the entry is known, and the client needs one more token.
//
// Not checked: whether there is such a client.
func (i *Issuer) RevokeClient(ctx context.Context, clientID string) error {
	if clientID == "" {
		return i.refuse("RevokeClient without a client id")
	}
	return i.revokeNow(ctx, Event{Target: clientID}, registry.CutOff(clientID))
}

// RevokeSecret revokes every token that the client has got with the secret of that id, as
// RevokeClient does with all of them. The secret itself stays valid. RemoveSecret of a
// [registry.Manager] removes it, and can revoke in the same step.
//
// Not checked: whether the client has, or had, such a secret.
func (i *Issuer) RevokeSecret(ctx context.Context, clientID, secretID string) error {
	if clientID == "" || secretID == "" {
		return i.refuse("RevokeSecret without a client id or secret id")
	}
	return i.revokeNow(ctx, Event{Target: clientID, SecretID: secretID}, registry.Change{Kind: registry.SecretCutOff, ClientID: clientID, SecretID: secretID})
}

// RevokeAll revokes every token of every client, as RevokeClient does those of one
// client.
func (i *Issuer) RevokeAll(ctx context.Context) error {
	return i.revokeNow(ctx, Event{Target: "*"}, registry.Change{Kind: registry.AllCutOff})
}

func (i *Issuer) refuse(what string) error {
	if !i.made() {
		return errNotMade
	}
	return errors.New("issuer: " + what)
}

// revokeNow revokes on behalf of the program, and reports the event.
func (i *Issuer) revokeNow(ctx context.Context, e Event, c registry.Change) error {
	if !i.made() {
		return errNotMade
	}
	o := i.observation()
	err := i.revoke(registry.AsOperator(ctx), c)
	o.reportRevocation(ctx, e, err)
	return err
}

// revoke writes a change to the feed and applies it here. After a cut-off it polls the
// feed, so that tokens granted here from now on have a number above the cut-off.
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
	c.ExpiresAt = time.Now().Add(c.Kind.Lifetime()) // the feed has the expiry by the store's clock
	i.apply(c)
	_ = i.feed.poll(bound) // if it fails, clients of this replica need one more token
	return nil
}

// Sync reads the store's feed to its end. When it returns nil, every change that was
// written before the call counts in this process. Call it after a write to the store that
// the next request to this process must see. Without Sync the write counts within 2 s,
// while the store answers.
func (i *Issuer) Sync(ctx context.Context) error {
	if !i.made() {
		return errNotMade
	}
	i.background()
	return i.feed.poll(ctx)
}

// apply applies a change of the feed.
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
