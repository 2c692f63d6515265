package registry

import (
	"context"
	"time"
)

// Manager is a [Store] whose clients can be managed, such as [Memory] and the
// store of package sqlstore. Every method that changes a client writes a change
// to the feed in the same step. Issuers follow within 2 s, including that of the same
// process. Until then a new secret may be refused and an old one accepted. When it must
// count at once, make the issuer read the feed:
//
//	secret, err := store.RotateSecret(ctx, "reports", registry.Rotation{Revoke: true})
//	if err == nil {
//		err = iss.Sync(ctx) // this process; other replicas follow within 2 s
//	}
//
// Package issuer/admin does that. The caller may change the clients that it gets.
//
// An invalid argument is refused with an error that is [ErrInvalid] and holds an
// [*InvalidError]. Every error that is neither that nor [ErrNotFound], [ErrConflict] or
// [ErrClockSkew] means that the store cannot do it now.
type Manager interface {
	Store

	// Register adds a client and returns it as stored, with Version 1. The error
	// is [ErrConflict] when its id is taken.
	Register(ctx context.Context, c Client) (Client, error)

	// List returns a page of the clients, in order of their ids by bytes. An empty
	// page is the end.
	List(ctx context.Context, q Query) ([]Client, error)

	// Update replaces everything of the client but its secrets and CreatedAt, and
	// returns it as stored. The error is [ErrConflict] when c.Version is not the
	// stored one, and [ErrNotFound] when there is no such client. When c.Disabled
	// is set, the change in the feed is a ClientCutOff.
	Update(ctx context.Context, c Client) (Client, error)

	// Delete removes the client; the change in the feed is a ClientCutOff. The error
	// is [ErrNotFound] when there is no such client.
	Delete(ctx context.Context, id string) error

	// AddSecret adds a secret to a client, and sets its CreatedAt. The error is
	// [ErrNotFound] when there is no such client, and [ErrConflict] when it has a
	// secret with that ID. Changes of secrets do not change Client.Version.
	AddSecret(ctx context.Context, clientID string, secret Secret) error

	// RotateSecret generates a secret and returns it, to be shown once. [Rotation]
	// says what happens to the other secrets and to the tokens granted for them. The
	// error is [ErrNotFound] when there is no such client.
	RotateSecret(ctx context.Context, clientID string, r Rotation) (plain string, err error)

	// RemoveSecret removes a secret at once. With revoke the tokens that the client
	// got with it are revoked: the change in the feed is a SecretCutOff. Otherwise
	// they stay valid. (RevokeSecret of an issuer revokes the tokens and leaves the
	// secret.) The error is [ErrNotFound] when there is no such client or
	// secret.
	RemoveSecret(ctx context.Context, clientID, secretID string, revoke bool) error
}

// Rotation says how [Manager].RotateSecret replaces the secrets of a client. The
// zero value removes the other secrets at once, so callers that have one fail until they
// get the new one, and revokes no token. To replace a secret without downtime, set Overlap:
//
//	secret, err := store.RotateSecret(ctx, "reports", registry.Rotation{Overlap: 24 * time.Hour})
//
// Issuers follow within 2 s, or at once after Sync of the issuer.
type Rotation struct {
	// Overlap is how long the other secrets stay valid, unless they expire sooner.
	// Default 0, which removes them at once. (The admin API and the command line tool
	// have another default: 24 h.)
	Overlap time.Duration

	// Label is the label of the new secret.
	Label string

	// Revoke also revokes the tokens that the client got so far: the change in the
	// feed is a ClientCutOff. Overlap must be 0.
	Revoke bool
}

// Validate returns what is wrong with the rotation: an [*InvalidError]. A [Manager]
// calls it in RotateSecret.
func (r Rotation) Validate() error {
	switch {
	case r.Overlap < 0:
		return invalid("Rotation.Overlap", "is %v: write 0 or more", r.Overlap)
	case r.Revoke && r.Overlap != 0:
		return invalid("Rotation.Overlap", "is %v with Revoke: write 0, as secrets whose tokens are revoked must go at once", r.Overlap)
	case !isText(r.Label, maxText):
		return invalid("Rotation.Label", "write UTF-8 without NUL, at most %d bytes", maxText)
	}
	return nil
}

// Query selects a page of clients.
type Query struct {
	Search string // a part of the id or the name, without regard to case; empty for all
	After  string // the last id of the page before
	Limit  int    // default 50, at most 500
}

// Size returns Limit with its default and its maximum applied.
func (q Query) Size() int {
	if q.Limit <= 0 {
		return 50
	}
	return min(q.Limit, 500)
}
