package tool

import (
	"context"
	"fmt"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Clients is the part of [registry.Manager] that the verbs need. Its methods are
// documented there.
type Clients interface {
	Client(ctx context.Context, id string) (*registry.Client, error)
	List(ctx context.Context, q registry.Query) ([]registry.Client, error)
	Register(ctx context.Context, c registry.Client) (registry.Client, error)
	Update(ctx context.Context, c registry.Client) (registry.Client, error)
	Delete(ctx context.Context, id string) error
	AddSecret(ctx context.Context, clientID string, secret registry.Secret) error
	RotateSecret(ctx context.Context, clientID string, r registry.Rotation) (plain string, err error)
	RemoveSecret(ctx context.Context, clientID, secretID string, revoke bool) error
	Revoke(ctx context.Context, c registry.Change) (sequence int64, err error)
}

var _ Clients = registry.Manager(nil)

// all returns all clients, in order of their ids. A server that gives a client twice
// might do so without end.
func all(ctx context.Context, clients Clients) (found []registry.Client, err error) {
	q, listed := registry.Query{Limit: 500}, map[string]bool{}
	for {
		page, err := clients.List(ctx, q)
		if err != nil || len(page) == 0 {
			return found, err
		}
		for n := range page {
			if listed[page[n].ID] {
				return nil, fmt.Errorf("the list has the client %q twice", page[n].ID)
			}
			listed[page[n].ID] = true
		}
		found = append(found, page...)
		q.After = page[len(page)-1].ID
	}
}

// bounded gives each call a timeout of its own, so that a verb may make many.
type bounded struct {
	Clients
	place string
}

// bound runs one call.
func (b bounded) bound(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	err := call(ctx)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("%s: no answer within %v; what was asked for may have been written, see: clients show: %w", b.place, Timeout, err)
	}
	return err
}

func (b bounded) Client(ctx context.Context, id string) (c *registry.Client, err error) {
	err = b.bound(ctx, func(ctx context.Context) (err error) { c, err = b.Clients.Client(ctx, id); return err })
	return c, err
}

func (b bounded) List(ctx context.Context, q registry.Query) (page []registry.Client, err error) {
	err = b.bound(ctx, func(ctx context.Context) (err error) { page, err = b.Clients.List(ctx, q); return err })
	return page, err
}

func (b bounded) Register(ctx context.Context, c registry.Client) (stored registry.Client, err error) {
	err = b.bound(ctx, func(ctx context.Context) (err error) { stored, err = b.Clients.Register(ctx, c); return err })
	return stored, err
}

func (b bounded) Update(ctx context.Context, c registry.Client) (stored registry.Client, err error) {
	err = b.bound(ctx, func(ctx context.Context) (err error) { stored, err = b.Clients.Update(ctx, c); return err })
	return stored, err
}

func (b bounded) Delete(ctx context.Context, id string) error {
	return b.bound(ctx, func(ctx context.Context) error { return b.Clients.Delete(ctx, id) })
}

func (b bounded) AddSecret(ctx context.Context, id string, secret registry.Secret) error {
	return b.bound(ctx, func(ctx context.Context) error { return b.Clients.AddSecret(ctx, id, secret) })
}

func (b bounded) RotateSecret(ctx context.Context, id string, r registry.Rotation) (plain string, err error) {
	err = b.bound(ctx, func(ctx context.Context) (err error) { plain, err = b.Clients.RotateSecret(ctx, id, r); return err })
	return plain, err
}

func (b bounded) RemoveSecret(ctx context.Context, id, secretID string, revoke bool) error {
	return b.bound(ctx, func(ctx context.Context) error { return b.Clients.RemoveSecret(ctx, id, secretID, revoke) })
}

func (b bounded) Revoke(ctx context.Context, c registry.Change) (sequence int64, err error) {
	err = b.bound(ctx, func(ctx context.Context) (err error) { sequence, err = b.Clients.Revoke(ctx, c); return err })
	return sequence, err
}
