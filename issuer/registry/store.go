package registry

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is a [Store]'s answer for a client that does not exist.
var ErrNotFound = errors.New("registry: not found")

// ErrConflict is a registry's answer to a change of a client that somebody else
// has changed since it was read, or to the registration of an id that is taken.
var ErrConflict = errors.New("registry: changed by somebody else, or there already")

// Store is what the issuer asks of storage. Package sqlstore has one for SQLite
// and PostgreSQL; package storetest tests any. It must be safe for concurrent
// use, and its errors must tell "there is none" from "I cannot say".
type Store interface {
	// Client returns [ErrNotFound] when there is no such client; any other error
	// means that it cannot tell, and is answered 503. What it returns is not
	// changed by the issuer and must not be changed by the store afterwards.
	Client(ctx context.Context, id string) (*Client, error)

	// Revoke adds a revocation to the feed. When it returns nil the entry
	// survives a crash. Sequence is the store's to set.
	Revoke(ctx context.Context, r Revocation) error

	// Revocations returns the entries of the feed after a sequence, in order,
	// without those that have expired; some thousands at most. Fewer than 1000
	// must be all there are, else the caller asks again. Once it has returned a
	// sequence, no entry with a lower one may come up later. A feed that has been
	// set back, by a restored backup, so that it ends before the sequence, is
	// [ErrConflict], and is read from the start.
	Revocations(ctx context.Context, since int64) ([]Revocation, error)

	// Once reports true at the first call with the scope and id, and false at
	// every other until the time given, whichever replica calls: one atomic
	// step. An error means that it cannot tell.
	Once(ctx context.Context, scope, id string, until time.Time) (bool, error)
}

// Revocation is an entry of the feed that all replicas follow.
type Revocation struct {
	Sequence int64 // its place in the feed, from 1

	// TokenID is the jti of the token that is revoked. When it is empty, every
	// token of ClientID issued at or before NotBefore is; when that is zero
	// too, none is: the client's record has changed, and replicas drop what they
	// remember of it.
	TokenID   string
	ClientID  string
	NotBefore time.Time

	ExpiresAt time.Time // from then on the entry means nothing
}

// SecretUse tells when a secret last got a token. A [Store] that also has a
// method SecretsUsed(context.Context, []SecretUse) error is given these in
// batches, within a minute or so, never while a client waits.
type SecretUse struct {
	ClientID, SecretID string
	At                 time.Time
}
