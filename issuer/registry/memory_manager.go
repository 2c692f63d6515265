package registry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Register adds a client, with Version 1 and its times set.
func (m *Memory) Register(_ context.Context, c Client) (Client, error) {
	if err := c.Validate(); err != nil {
		return Client{}, err
	}
	if err := m.lock(); err != nil {
		return Client{}, err
	}
	defer m.mu.Unlock()
	if m.clients[c.ID] != nil {
		return Client{}, ErrConflict
	}
	stored, now := c.Clone(), m.now()
	stored.Version, stored.CreatedAt, stored.UpdatedAt = 1, now, now
	for i := range stored.Secrets {
		stored.Secrets[i].CreatedAt, stored.Secrets[i].LastUsedAt = now, time.Time{}
	}
	m.clients[c.ID] = stored
	m.announce(c.ID)
	return *stored.Clone(), nil
}

// List returns a page of the clients.
func (m *Memory) List(_ context.Context, q Query) ([]Client, error) {
	if err := m.lock(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var page []Client
	search := strings.ToLower(q.Search)
	for _, id := range slices.Sorted(maps.Keys(m.clients)) {
		c := m.clients[id]
		if id <= q.After || !strings.Contains(strings.ToLower(id), search) && !strings.Contains(strings.ToLower(c.Name), search) {
			continue
		}
		if page = append(page, *c.Clone()); len(page) == q.Size() {
			break
		}
	}
	return page, nil
}

// Update replaces everything of the client but its secrets and CreatedAt.
func (m *Memory) Update(_ context.Context, c Client) (Client, error) {
	if err := c.Validate(); err != nil {
		return Client{}, err
	}
	if err := m.lock(); err != nil {
		return Client{}, err
	}
	defer m.mu.Unlock()
	old := m.clients[c.ID]
	switch {
	case old == nil:
		return Client{}, ErrNotFound
	case old.Version != c.Version:
		return Client{}, ErrConflict
	}
	stored := c.Clone()
	stored.Secrets = slices.Clone(old.Secrets)
	stored.Version, stored.CreatedAt, stored.UpdatedAt = old.Version+1, old.CreatedAt, m.now()
	m.clients[c.ID] = stored
	if c.Disabled {
		m.write(CutOff(c.ID))
	} else {
		m.announce(c.ID)
	}
	return *stored.Clone(), nil
}

// Delete removes the client and cuts off its tokens.
func (m *Memory) Delete(_ context.Context, id string) error {
	if err := m.lock(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.clients[id] == nil {
		return ErrNotFound
	}
	delete(m.clients, id)
	delete(m.networks, id)
	m.write(CutOff(id))
	return nil
}

// AddSecret adds a secret to a client.
func (m *Memory) AddSecret(_ context.Context, clientID string, secret Secret) error {
	if err := secret.Validate(); err != nil {
		return err
	}
	changed := Change{Kind: ClientChanged, ClientID: clientID}
	return m.changeSecrets(changed, func(c *Client, now time.Time) error {
		if slices.ContainsFunc(c.Secrets, func(s Secret) bool { return s.ID == secret.ID }) {
			return ErrConflict
		}
		secret.CreatedAt, secret.LastUsedAt = now, time.Time{}
		c.Secrets = append(c.Secrets, secret)
		return nil
	})
}

// RotateSecret generates a secret, and removes the others or lets them expire.
func (m *Memory) RotateSecret(_ context.Context, clientID string, r Rotation) (plain string, err error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	plain, secret := GenerateSecret()
	written := Change{Kind: ClientChanged, ClientID: clientID}
	if r.Revoke {
		written = CutOff(clientID)
	}
	err = m.changeSecrets(written, func(c *Client, now time.Time) error {
		if r.Overlap == 0 {
			c.Secrets = nil
		}
		for i := range c.Secrets {
			if s := &c.Secrets[i]; s.ExpiresAt.IsZero() || s.ExpiresAt.After(now.Add(r.Overlap)) {
				s.ExpiresAt = now.Add(r.Overlap)
			}
		}
		secret.Label, secret.CreatedAt = r.Label, now
		c.Secrets = append(c.Secrets, secret)
		return nil
	})
	if err != nil {
		return "", err
	}
	return plain, nil
}

// RemoveSecret removes a secret at once.
func (m *Memory) RemoveSecret(_ context.Context, clientID, secretID string, revoke bool) error {
	written := Change{Kind: ClientChanged, ClientID: clientID}
	if revoke {
		written = Change{Kind: SecretCutOff, ClientID: clientID, SecretID: secretID}
	}
	return m.changeSecrets(written, func(c *Client, _ time.Time) error {
		n := len(c.Secrets)
		if c.Secrets = slices.DeleteFunc(c.Secrets, func(s Secret) bool { return s.ID == secretID }); len(c.Secrets) == n {
			return ErrNotFound
		}
		return nil
	})
}

// changeSecrets lets change work on a copy of the client, without the secrets
// that expired a day ago, keeps it, and adds the entry to the feed.
func (m *Memory) changeSecrets(written Change, change func(*Client, time.Time) error) error {
	if err := m.lock(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	now, steady := m.clock.read()
	old := m.clients[written.ClientID]
	if old == nil {
		return ErrNotFound
	}
	c := old.Clone()
	if steady {
		c.Secrets = slices.DeleteFunc(c.Secrets, func(s Secret) bool { return s.Expired(now.Add(-TokenGrace)) })
	}
	if err := change(c, now); err != nil {
		return err
	}
	c.UpdatedAt = now
	m.clients[c.ID] = c
	m.write(written)
	return nil
}
