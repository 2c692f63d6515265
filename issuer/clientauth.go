package issuer

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// mechanism is one way for a client to authenticate. It is chosen by what a request
// presents, before any secret is read. Each mechanism has a file.
type mechanism interface {
	// presented reports whether the request holds a credential of this kind, even a
	// malformed one.
	presented(q request) bool

	// read returns the credential of a request that presents one. The error means that
	// it is malformed.
	read(q request) (credential, *Error)
}

// credential is what a request presents. It is not verified yet.
type credential interface {
	// claimedID returns the client that the caller claims to be.
	claimedID() string

	// verify returns the client if the credential is its own. The mechanism reads the
	// client's record with a finder, and decides with account.admit. A mechanism that
	// limits attempts does so around both. The error is 401 if the credential is refused,
	// and 503 if that cannot be decided now. An unknown id must get the same answer as a
	// wrong credential, after the same work.
	verify(ctx context.Context) (caller, *Error)
}

// caller is a client that has authenticated.
type caller struct {
	client   *registry.Client
	number   int64  // for its tokens, see tokenID
	secretID string // of the secret that it used, empty if it used none

	// consume marks a credential that is valid once as used. It is called after the proof
	// of the request was checked, because a client that is told to use another nonce sends
	// the same assertion again. Nil: there is nothing to mark.
	consume func(context.Context) *Error
}

// spend marks the credential as used, if it is valid once.
func (c caller) spend(ctx context.Context) *Error {
	if c.consume == nil {
		return nil
	}
	return c.consume(ctx)
}

// authenticate verifies the one credential of a request. A request with none, or with
// more than one (RFC 6749, section 2.3), is refused. It also returns the client that a
// refused caller claims to be.
func (i *Issuer) authenticate(q request) (_ caller, claimed string, _ *Error) {
	var chosen mechanism
	for _, m := range i.mechanisms {
		if !m.presented(q) {
			continue
		}
		if chosen != nil {
			return caller{}, "", malformed("more than one client authentication")
		}
		chosen = m
	}
	if chosen == nil && i.certified != nil && i.certified.presented(q) {
		chosen = i.certified
	}
	if chosen == nil {
		return caller{}, loggable(q.form.clientID), i.naming(missing())
	}
	c, err := chosen.read(q)
	if err != nil {
		return caller{}, "", i.naming(err)
	}
	who, err := c.verify(q.context())
	if err != nil {
		return caller{}, loggable(c.claimedID()), err
	}
	return who, "", nil
}

// missing is the answer to a request without a credential. It is the same with every
// client_id, so it says nothing about the client.
func missing() *Error {
	e := invalidClient(event.NoCredential, nil)
	e.Description = "client authentication is missing"
	return e
}

// naming adds the methods that this issuer accepts to the refusal of a request that uses
// none of them. It must not be used once a client was looked up: all refusals are the same
// then.
func (i *Issuer) naming(e *Error) *Error {
	if e.reason == event.WrongMethod || e.reason == event.NoCredential {
		e.Description += "; this issuer accepts " + strings.Join(i.methods, ", ")
	}
	return e
}

// loggable returns a claimed client id if it may be logged, else "". A secret that was
// sent as the id by mistake may not.
func loggable(clientID string) string {
	if _, secret := registry.SecretID(clientID); secret || !registry.ValidID(clientID) {
		return ""
	}
	return clientID
}

// account is the client that a caller claims to be, as far as the store can tell.
type account struct {
	client *registry.Client // nil: there is none
	number int64            // for its tokens, see tokenID
	stale  bool             // the store is away, and the record may have changed
}

// finder finds the account of a client id, for a request from the address. The error
// means that it could not.
type finder func(ctx context.Context, id, address string) (account, *Error)

func (i *Issuer) find(ctx context.Context, id, address string) (account, *Error) {
	i.background()
	found, err := i.clients.client(ctx, id, address)
	switch {
	case errors.Is(err, errQueueFull) || errors.Is(err, errLookupBusy):
		return account{}, unavailable(event.Busy, err)
	case err != nil:
		return account{}, unavailable(event.StoreUnavailable, err)
	}
	return account(found), nil
}

// findsAtOnce reports whether find needs no query for the id, or one that goes ahead.
func (i *Issuer) findsAtOnce(id string) bool { return i.clients.atOnce(id) }

// admit decides on an account whose credential was checked by the method. failure is
// the result of that check, nil if the credential is right. Every 401 is the same
// answer.
func (a account) admit(method string, failure *Error) *Error {
	switch {
	case failure != nil && failure.Status != http.StatusUnauthorized:
		return failure
	case a.client == nil:
		failure = invalidClient(event.UnknownClient, errUnknownClient)
	case failure != nil:
	case a.client.Disabled:
		failure = invalidClient(event.ClientDisabled, errDisabled)
	case a.client.AuthMethod != "" && a.client.AuthMethod != method:
		failure = invalidClient(event.WrongMethod, errWrongMethod)
	}
	if failure != nil && a.stale {
		return unavailable(event.StoreUnavailable, failure.cause) // the current record might admit it
	}
	return failure
}

// Private causes: Observe gets them, the client does not.
var (
	errUnknownClient = errors.New("issuer: no such client")
	errDisabled      = errors.New("issuer: the client is disabled")
	errWrongMethod   = errors.New("issuer: the client may not authenticate this way")
)
