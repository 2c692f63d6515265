package issuertest

import (
	"context"
	"sync/atomic"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// store is the memory that all generations share, with the switch of the feed.
type store struct {
	*registry.Memory
	feed     *Switch
	switched atomic.Bool // false until the first poll: the switch does not count
}

// Changes returns the changes after the sequence, or fails as the switch says.
func (s *store) Changes(ctx context.Context, since int64) (registry.Page, error) {
	if s.switched.Load() && ctx.Value(catchingUp{}) == nil {
		if err := s.feed.pass(ctx); err != nil {
			return registry.Page{}, err
		}
	}
	return s.Memory.Changes(ctx, since)
}

// catchingUp is the key of contexts in which the switch does not count.
type catchingUp struct{}

// manager is the memory for the test. The issuer follows each change at once.
type manager struct {
	*registry.Memory
	issuer *Issuer
}

// follow reads the feed. If that fails, the issuer follows when the feed works again.
func (m manager) follow(ctx context.Context, err error) error {
	g, release := m.issuer.use()
	defer release()
	if err == nil && g != nil && m.issuer.Feed.broken() == nil {
		_ = g.issuer.Sync(ctx)
	}
	return err
}

func (m manager) Register(ctx context.Context, c registry.Client) (registry.Client, error) {
	c, err := m.Memory.Register(ctx, c)
	return c, m.follow(ctx, err)
}

func (m manager) Update(ctx context.Context, c registry.Client) (registry.Client, error) {
	c, err := m.Memory.Update(ctx, c)
	return c, m.follow(ctx, err)
}

func (m manager) Delete(ctx context.Context, id string) error {
	return m.follow(ctx, m.Memory.Delete(ctx, id))
}

func (m manager) AddSecret(ctx context.Context, clientID string, secret registry.Secret) error {
	return m.follow(ctx, m.Memory.AddSecret(ctx, clientID, secret))
}

func (m manager) RotateSecret(ctx context.Context, clientID string, r registry.Rotation) (string, error) {
	plain, err := m.Memory.RotateSecret(ctx, clientID, r)
	return plain, m.follow(ctx, err)
}

func (m manager) RemoveSecret(ctx context.Context, clientID, secretID string, revoke bool) error {
	return m.follow(ctx, m.Memory.RemoveSecret(ctx, clientID, secretID, revoke))
}
