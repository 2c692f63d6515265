package registry

import (
	"context"
	"time"
)

// Manager is a [Store] whose clients can be managed; that of package sqlstore
// is one. Changes are followed by every replica within 2 s.
type Manager interface {
	Store

	// Register adds a client; [ErrConflict] when its id is taken.
	Register(ctx context.Context, c Client) (Client, error)

	// List gives the clients in the order of their ids.
	List(ctx context.Context, q Query) ([]Client, error)

	// Update changes everything but the secrets of the client. Its Version must
	// be the one that is stored, else the error is [ErrConflict]. If it disables
	// the client, it revokes its tokens in the same step, and those that other
	// replicas grant before they know.
	Update(ctx context.Context, c Client) (Client, error)

	// Delete removes the client and revokes its tokens.
	Delete(ctx context.Context, id string) error

	// AddSecret adds a secret to the client's.
	AddSecret(ctx context.Context, clientID string, secret Secret) error

	// RotateSecret generates a new secret and lets the others expire after the
	// overlap.
	RotateSecret(ctx context.Context, clientID string, overlap time.Duration, label string) (plain string, err error)

	// RemoveSecret ends a secret at once.
	RemoveSecret(ctx context.Context, clientID, secretID string) error
}

// Query selects a page of clients.
type Query struct {
	Search string // in the id or the name, in any case; empty for all
	After  string // the last id of the page before
	Limit  int    // default 50, at most 500
}
