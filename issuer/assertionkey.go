package issuer

import (
	"context"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// keyCredential is private_key_jwt (RFC 7523, section 2.2): an assertion that the client
// has signed with a key of Client.JWKS or Client.JWKSURI.
type keyCredential struct{ signed }

func (c *keyCredential) claimedID() string { return c.subject }

// verify checks the claims, which depend on no client, then the signature. Every
// assertion with right claims costs one signature check, whether there is such a client
// and such a key or not.
func (c *keyCredential) verify(ctx context.Context) (caller, *Error) {
	if !registry.ValidID(c.subject) {
		return caller{}, invalidClient(event.MalformedCredential, errMalformed)
	}
	if !isAssertionType(c.jws.Type(), c.requireType) {
		return caller{}, invalidClient(event.BadAssertion, errWrongType)
	}
	claims, err := readAssertion(&c.claims, c.assertionAuth.issuer, time.Now())
	if err != nil {
		return caller{}, invalidClient(event.BadAssertion, err)
	}
	found, failed := c.find(ctx, c.subject, c.address)
	if failed != nil {
		return caller{}, failed
	}
	if err := c.admit(found, c.check(ctx, found.client)); err != nil {
		return caller{}, err
	}
	return caller{client: found.client, number: found.number, consume: func(ctx context.Context) *Error {
		if err := c.rate.take(c.subject); err != nil {
			return err
		}
		return c.use(ctx, claims)
	}}, nil
}

// check checks the signature with the client's keys.
func (c *keyCredential) check(ctx context.Context, client *registry.Client) *Error {
	switch { // no key set is fetched for these
	case client == nil:
		return c.checkNothing(ctx, event.UnknownClient, errUnknownClient)
	case client.Disabled:
		return c.checkNothing(ctx, event.ClientDisabled, errDisabled)
	case client.AuthMethod != "" && client.AuthMethod != registry.PrivateKeyJWT:
		return c.checkNothing(ctx, event.WrongMethod, errWrongMethod)
	}
	if client.JWKSURI != "" {
		ctx = c.inNetwork(ctx)
	}
	keys, err := c.keys.candidates(ctx, client, c.jws.KeyID(), c.jws.Algorithm())
	switch {
	case errors.Is(err, errKeysBusy):
		return unavailable(event.Busy, err)
	case err != nil && !errors.Is(err, errNoClientKey) && (errors.Is(err, jwks.ErrUnavailable) || ctx.Err() != nil):
		return unavailable(event.KeysUnavailable, err)
	case err != nil:
		return c.checkNothing(ctx, event.UnknownKey, err)
	}
	busy := c.verifying(ctx, func() {
		for _, key := range keys {
			if _, err = c.jws.Verify(key); err == nil {
				return
			}
		}
	}, keys...)
	switch {
	case busy != nil:
		return busy
	case err != nil:
		return invalidClient(event.BadSignature, err)
	}
	return nil
}

// checkNothing refuses an assertion for which there is no key, after the work of checking
// its signature.
func (s *signed) checkNothing(ctx context.Context, reason event.Reason, cause error) *Error {
	dummy := dummyKey(s.jws.Algorithm())
	if busy := s.verifying(ctx, func() { _, _ = s.jws.Verify(dummy) }, dummy); busy != nil {
		return busy
	}
	return invalidClient(reason, cause)
}

// use marks the assertion as used, in one atomic step over all replicas. The jti counts
// for its client alone, so a client cannot use up another's.
func (c *keyCredential) use(ctx context.Context, claims assertionClaims) *Error {
	end := claims.expires.Add(assertionLeeway)
	if ended(end) {
		return invalidClient(event.BadAssertion, errAssertionExpired)
	}
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	first, err := c.store.Once(bound, "assertion:"+c.subject, onceID(claims.id), recordUntil(end))
	switch {
	case err != nil:
		return unavailable(event.StoreUnavailable, err)
	case !first:
		return invalidClient(event.ReplayedAssertion, errReplayed)
	}
	return nil
}

// inNetwork returns a context that tells a [jwks.Remote] where the request comes from.
func (s *signed) inNetwork(ctx context.Context) context.Context {
	return context.WithValue(ctx, jwks.NetworkKey{}, networkOf(s.address))
}
