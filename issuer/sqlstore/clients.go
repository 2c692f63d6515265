package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Register adds a client and returns it with Version 1 and its times set. The
// error is [registry.ErrConflict] when the id is taken, and says which field to
// change when the client is not valid ([registry.Client.Validate]), when a name,
// label, audience or secret id is not UTF-8 of at most 1024 bytes, or when two
// secrets have one id.
func (s *Store) Register(ctx context.Context, c registry.Client) (registry.Client, error) {
	if err := s.ready(); err != nil {
		return registry.Client{}, wrap("registering a client", err)
	}
	now := fromMillis(time.Now().UnixMilli())
	c = *c.Clone()
	c.Version, c.CreatedAt, c.UpdatedAt = 1, now, now
	for i := range c.Secrets {
		c.Secrets[i] = asStored(c.Secrets[i], now)
	}
	if err := check(&c); err != nil {
		return registry.Client{}, wrap("registering a client", err)
	}
	defer s.wrote()
	err := s.write(ctx, s.operator, func(t *tx) error {
		added, err := t.exec(ctx, `
INSERT INTO m2m_clients (id, name, disabled, auth_method, scopes, audiences, default_audience, token_ttl, introspects, search, metadata, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $12)
ON CONFLICT (id) DO NOTHING`,
			append(values(&c), millis(now))...)
		if err != nil {
			return err
		}
		if added == 0 {
			return registry.ErrConflict
		}
		for i := range c.Secrets {
			if _, err := t.addSecret(ctx, c.ID, &c.Secrets[i]); err != nil {
				return err
			}
		}
		return t.announce(ctx, c.ID, now)
	})
	if err != nil {
		return registry.Client{}, wrap("registering a client", err)
	}
	return c, nil
}

// Client returns the client with the id and its secrets that have not expired,
// in the order they were added. The error is [registry.ErrNotFound] when there is
// no such client, and only then. It is one statement. The result is the caller's.
func (s *Store) Client(ctx context.Context, id string) (*registry.Client, error) {
	if err := s.ready(); err != nil {
		return nil, wrap("reading a client", err)
	}
	if !maybeID(id) {
		return nil, wrap("reading a client", registry.ErrNotFound)
	}
	rows, err := s.requests.db.QueryContext(ctx, s.sql(selectClients+" WHERE c.id = $2 ORDER BY s.position"), time.Now().UnixMilli(), id)
	if err != nil {
		return nil, wrap("reading a client", err)
	}
	found, err := scanClients(rows)
	if err == nil && len(found) == 0 {
		err = registry.ErrNotFound
	}
	if err != nil {
		return nil, wrap("reading a client", err)
	}
	return &found[0], nil
}

// List returns a page of the clients, by id in the order of its bytes, each as
// [Store.Client] returns it: secrets by their hashes. An empty page is the end.
// A search reads the table up to the end of the page, all of it if it finds less.
func (s *Store) List(ctx context.Context, q registry.Query) ([]registry.Client, error) {
	if err := s.ready(); err != nil {
		return nil, wrap("listing clients", err)
	}
	if !storable(q.Search) || !storable(q.After) {
		return nil, nil // no client has such an id
	}
	pattern := "%" + likeEscape.Replace(strings.ToLower(q.Search)) + "%"
	rows, err := s.operator.db.QueryContext(ctx, s.sql(`
WITH page AS (SELECT id FROM m2m_clients WHERE id > $2 AND search LIKE $3 ESCAPE '!' ORDER BY id LIMIT $4)`+
		selectClients+" JOIN page ON page.id = c.id ORDER BY c.id, s.position"),
		time.Now().UnixMilli(), q.After, pattern, q.Size())
	if err != nil {
		return nil, wrap("listing clients", err)
	}
	found, err := scanClients(rows)
	return found, wrap("listing clients", err)
}

var likeEscape = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// Update replaces everything of a client but its secrets and CreatedAt, and
// returns it as it then is. The error is [registry.ErrConflict] when c.Version is
// not the version in the store: read the client again and decide anew;
// [registry.ErrNotFound] when there is none; and as for [Store.Register] when c is
// not valid. Secrets have no part in the version, so a rotation does not get in
// the way of an edit.
//
// A client that is disabled gets no more tokens, on any replica that follows the
// feed, and those it has are revoked, in the same transaction. Once it is enabled
// again, tokens granted 5 s after it was disabled are valid.
func (s *Store) Update(ctx context.Context, c registry.Client) (registry.Client, error) {
	if err := s.ready(); err != nil {
		return registry.Client{}, wrap("updating a client", err)
	}
	c.Secrets = nil
	if err := check(&c); err != nil {
		return registry.Client{}, wrap("updating a client", err)
	}
	now := time.Now()
	defer s.wrote()
	var updated []registry.Client
	err := s.write(ctx, s.operator, func(t *tx) error {
		changed, err := t.exec(ctx, `
UPDATE m2m_clients SET name = $2, disabled = $3, auth_method = $4, scopes = $5, audiences = $6, default_audience = $7,
  token_ttl = $8, introspects = $9, search = $10, metadata = $11, version = version + 1, updated_at = $12
WHERE id = $1 AND version = $13`,
			append(values(&c), now.UnixMilli(), c.Version)...)
		if err != nil {
			return err
		}
		rows, err := t.conn.QueryContext(ctx, s.sql(selectClients+" WHERE c.id = $2 ORDER BY s.position"), now.UnixMilli(), c.ID)
		if err != nil {
			return err
		}
		if updated, err = scanClients(rows); err != nil {
			return err
		}
		switch {
		case len(updated) == 0:
			return registry.ErrNotFound
		case changed == 0:
			return registry.ErrConflict
		}
		if c.Disabled {
			return t.cutOff(ctx, c.ID, now) // it says that the record has changed, too
		}
		return t.announce(ctx, c.ID, now)
	})
	if err != nil {
		return registry.Client{}, wrap("updating a client", err)
	}
	return updated[0], nil
}

// Delete removes a client and its secrets and revokes its tokens, those included
// that another replica grants in the next 5 s, before it has heard. The
// revocation stays in the feed for 90 days, or the client's TokenTTL if that is
// longer. The error is [registry.ErrNotFound] when there is no such client.
//
// A client registered anew with the id gets no valid token within those 5 s.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := s.ready(); err != nil {
		return wrap("deleting a client", err)
	}
	now := time.Now()
	defer s.wrote()
	return wrap("deleting a client", s.write(ctx, s.operator, func(t *tx) error {
		if _, err := t.lock(ctx, id, now); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM m2m_secrets WHERE client_id = $1", id); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM m2m_clients WHERE id = $1", id); err != nil {
			return err
		}
		return t.cutOff(ctx, id, now)
	}))
}

// maybeID reports whether a client could have the id; if not, the database need
// not be asked.
func maybeID(id string) bool { return len(id) <= 256 && storable(id) }

// maxText bounds the texts whose length [registry.Client.Validate] leaves open.
const maxText = 1024

var errText = errors.New("a name, label, secret id or audience is UTF-8 without NUL, at most 1024 bytes")

func check(c *registry.Client) error {
	if err := c.Validate(); err != nil {
		return err
	}
	texts := slices.Concat([]string{c.Name}, c.Audiences, c.Introspects)
	ids := make(map[string]bool, len(c.Secrets))
	for i := range c.Secrets {
		texts = append(texts, c.Secrets[i].ID, c.Secrets[i].Label)
		ids[c.Secrets[i].ID] = true
	}
	if slices.ContainsFunc(texts, func(text string) bool { return len(text) > maxText || !storable(text) }) {
		return errText
	}
	if len(ids) < len(c.Secrets) {
		return errors.New("two of Client.Secrets have one ID")
	}
	return nil
}
