package registry

import (
	"context"
	"time"
)

// Manager is a [Store] whose clients can be managed, such as [Memory] and the
// store of package sqlstore. Every method that changes a client writes a change
// to the feed in the same step, so replicas follow within 2 s. Clients that are
// returned are the caller's to change.
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
	// is set, its tokens are cut off, [CutOffMargin] ahead.
	Update(ctx context.Context, c Client) (Client, error)

	// Delete removes the client and cuts off its tokens, [CutOffMargin] ahead. The
	// error is [ErrNotFound] when there is no such client.
	Delete(ctx context.Context, id string) error

	// AddSecret adds a secret to a client, and sets its CreatedAt. The error is
	// [ErrNotFound] when there is no such client, and [ErrConflict] when it has a
	// secret with that ID. Secrets have no part in Client.Version.
	AddSecret(ctx context.Context, clientID string, secret Secret) error

	// RotateSecret generates a secret and returns it, to be shown once. The others
	// expire after overlap, or when they would have if that is sooner; with an
	// overlap of 0, now. The error is [ErrNotFound] when there is no such client.
	RotateSecret(ctx context.Context, clientID string, overlap time.Duration, label string) (plain string, err error)

	// RemoveSecret removes a secret at once. The error is [ErrNotFound] when there
	// is no such client or secret. Tokens that were granted for it stay valid.
	RemoveSecret(ctx context.Context, clientID, secretID string) error
}

// Query selects a page of clients.
type Query struct {
	Search string // a part of the id or the name, upper and lower case alike; empty for all
	After  string // the last id of the page before
	Limit  int    // default 50, at most 500
}

// Size returns the limit that is in force.
func (q Query) Size() int {
	if q.Limit <= 0 {
		return 50
	}
	return min(q.Limit, 500)
}
