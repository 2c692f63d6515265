package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Register adds a client and returns it with Version 1 and its times set. The
// error is [registry.ErrConflict] when the id is taken, and [registry.ErrInvalid]
// when the client is invalid ([registry.Client.Validate]).
func (s *Store) Register(ctx context.Context, c registry.Client) (registry.Client, error) {
	if err := s.ready(); err != nil {
		return registry.Client{}, wrap("registering a client", err)
	}
	c = *c.Clone()
	if err := c.Validate(); err != nil {
		return registry.Client{}, wrap("registering a client", err)
	}
	if err := s.mayWrite(ctx, s.operator); err != nil {
		return registry.Client{}, wrap("registering a client", err)
	}
	written := change{
		guard: &step{`
INSERT INTO m2m_clients (id, name, disabled, auth_method, scopes, audiences, default_audience, token_ttl, introspects, search, metadata, authentication, version, created_at, updated_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, t.now, t.now FROM (SELECT NOW_MS AS now) t WHERE TRUE
ON CONFLICT (id) DO NOTHING RETURNING created_at`, values(&c)},
		steps: []step{{deleteNetworks, []any{c.ID}}},
		entry: changed(c.ID),
	}
	for i := range c.Secrets {
		written.steps = append(written.steps, insertSecret(c.ID, &c.Secrets[i], int64(i+1)))
	}
	at, sequence, err := s.apply(ctx, s.operator, &written)
	if errors.Is(err, errGuard) {
		err = registry.ErrConflict
	}
	if err != nil {
		return registry.Client{}, wrap("registering a client", err)
	}
	s.wrote(&written.entry, sequence)
	c.Version, c.CreatedAt, c.UpdatedAt = 1, fromMillis(at), fromMillis(at)
	for i := range c.Secrets {
		c.Secrets[i] = asStored(c.Secrets[i], c.CreatedAt)
	}
	return c, nil
}

// Client returns the client with the id and its secrets that have not expired,
// in the order in which they were added. The error is [registry.ErrNotFound] when there
// is no such client, and only then. It is one statement. The caller may change the
// result. It uses the connections of requests, unless the context is an operator's
// ([registry.AsOperator]).
func (s *Store) Client(ctx context.Context, id string) (*registry.Client, error) {
	if err := s.ready(); err != nil {
		return nil, wrap("reading a client", err)
	}
	c, err := s.readClient(ctx, s.poolOf(ctx), id)
	return c, wrap("reading a client", err)
}

// List returns a page of the clients, in order of their ids by bytes, each as
// [Store.Client] returns it: with the hashes of its secrets. An empty page is the end.
// A search reads the table until the page is full, or all of it.
func (s *Store) List(ctx context.Context, q registry.Query) ([]registry.Client, error) {
	if err := s.ready(); err != nil {
		return nil, wrap("listing clients", err)
	}
	if !storable(q.Search) || !storable(q.After) {
		return nil, nil // no client has such an id
	}
	pattern := "%" + likeEscape.Replace(strings.ToLower(q.Search)) + "%"
	found, err := s.readClients(ctx, s.operator,
		" JOIN (SELECT id FROM m2m_clients WHERE id > $1 AND search LIKE $2 ESCAPE '!' ORDER BY id LIMIT $3) page ON page.id = c.id ORDER BY c.id, s.position",
		q.After, pattern, q.Size())
	return found, wrap("listing clients", err)
}

var likeEscape = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// Update replaces everything of a client but its secrets and CreatedAt, and
// returns it as stored. The error is [registry.ErrConflict] when c.Version is not the
// stored version: read the client again and decide anew. It is [registry.ErrNotFound]
// when there is no such client, and [registry.ErrInvalid] when c is invalid. Changes of
// secrets do not change the version, so a rotation does not conflict with an edit.
//
// A disabled client gets no more tokens from any replica that follows the feed, and in
// the same step its tokens are revoked. Enabling it does not make them valid.
func (s *Store) Update(ctx context.Context, c registry.Client) (registry.Client, error) {
	if err := s.ready(); err != nil {
		return registry.Client{}, wrap("updating a client", err)
	}
	c = *c.Clone()
	c.Secrets = nil
	if err := c.Validate(); err != nil {
		return registry.Client{}, wrap("updating a client", err)
	}
	entry := changed(c.ID)
	if c.Disabled {
		entry = registry.CutOff(c.ID) // it says that the record has changed, too
	} else if err := s.mayWrite(ctx, s.operator); err != nil {
		return registry.Client{}, wrap("updating a client", err)
	}
	var old *registry.Client
	at, err := s.changeClient(ctx, func() (written change, err error) {
		if old, err = s.readClient(ctx, s.operator, c.ID); err != nil {
			return change{}, err
		}
		if old.Version != c.Version {
			return change{}, registry.ErrConflict
		}
		return change{guard: &step{`
UPDATE m2m_clients SET name = $2, disabled = $3, auth_method = $4, scopes = $5, audiences = $6, default_audience = $7,
  token_ttl = $8, introspects = $9, search = $10, metadata = $11, authentication = $12, version = version + 1, updated_at = ` + nextUpdate + `
WHERE id = $1 AND updated_at = $13 AND version = $14 RETURNING updated_at`,
			append(values(&c), millis(old.UpdatedAt), c.Version)}, entry: entry}, nil
	})
	if err != nil {
		return registry.Client{}, wrap("updating a client", err)
	}
	c.Secrets, c.CreatedAt, c.UpdatedAt = old.Secrets, old.CreatedAt, fromMillis(at)
	c.Version++
	return c, nil
}

// Delete removes a client and its secrets, and revokes its tokens in the same
// step. The error is [registry.ErrNotFound] when there is no such client.
// Registering the id again does not make them valid.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := s.ready(); err != nil {
		return wrap("deleting a client", err)
	}
	_, err := s.changeClient(ctx, func() (change, error) {
		updatedAt, _, err := s.state(ctx, id, "")
		if err != nil {
			return change{}, err
		}
		return change{
			// PostgreSQL deletes no row that the same statement has updated.
			guard: &step{"SELECT updated_at FROM m2m_clients WHERE id = $1 AND updated_at = $2 FOR UPDATE", []any{id, updatedAt}},
			steps: []step{
				{"DELETE FROM m2m_secrets WHERE client_id = $1 AND GUARD", []any{id}},
				{deleteNetworks, []any{id}},
				{"DELETE FROM m2m_clients WHERE id = $1 AND GUARD", []any{id}},
			},
			entry: registry.CutOff(id),
		}, nil
	})
	return wrap("deleting a client", err)
}

func changed(clientID string) registry.Change {
	return registry.Change{Kind: registry.ClientChanged, ClientID: clientID}
}

// nextUpdate is greater than updated_at, which therefore tells whether a client or its
// secrets have changed.
const nextUpdate = "CASE WHEN updated_at < NOW_MS THEN NOW_MS ELSE updated_at + 1 END"

// changeClient makes a change whose guard requires the client to be as prepare has read
// it. It repeats both as long as others change the client in between. It returns the
// guard's number.
func (s *Store) changeClient(ctx context.Context, prepare func() (change, error)) (int64, error) {
	for {
		written, err := prepare()
		if err != nil {
			return 0, err
		}
		guard, sequence, err := s.apply(ctx, s.operator, &written)
		if errors.Is(err, errGuard) && ctx.Err() == nil {
			continue
		}
		if err == nil {
			s.wrote(&written.entry, sequence)
		}
		return guard, err
	}
}

// maybeID reports whether a client could have the id. If not, no query is needed.
func maybeID(id string) bool { return len(id) <= 256 && storable(id) }
