package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// selectClients selects a row for each valid secret, or one row for a client without.
const selectClients = `
SELECT c.id, c.name, c.disabled, c.auth_method, c.scopes, c.audiences, c.default_audience, c.token_ttl, c.introspects,
  c.metadata, c.authentication, c.version, c.created_at, c.updated_at,
  COALESCE(s.id, ''), COALESCE(s.hash, ''), COALESCE(s.label, ''),
  COALESCE(s.created_at, 0), COALESCE(s.expires_at, 0), COALESCE(s.last_used_at, 0)
FROM m2m_clients c LEFT JOIN m2m_secrets s ON s.client_id = c.id AND (s.expires_at = 0 OR s.expires_at > NOW_MS)`

// readClients runs selectClients with a condition and an order. The rows of a client must
// be adjacent.
func (s *Store) readClients(ctx context.Context, p *pool, where string, args ...any) (found []registry.Client, err error) {
	err = s.query(ctx, p, func(rows *sql.Rows) error {
		found, err = scanClients(rows)
		return err
	}, selectClients+where, args...)
	return found, err
}

// readClient reads one client.
func (s *Store) readClient(ctx context.Context, p *pool, id string) (*registry.Client, error) {
	if !maybeID(id) {
		return nil, registry.ErrNotFound
	}
	found, err := s.readClients(ctx, p, " WHERE c.id = $1 ORDER BY s.position", id)
	if err == nil && len(found) == 0 {
		err = registry.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

func scanClients(rows *sql.Rows) (found []registry.Client, err error) {
	for rows.Next() {
		var c registry.Client
		var ttl, created, updated int64
		var secret registry.Secret
		var added, expires, used int64
		if err := rows.Scan(&c.ID, &c.Name, &c.Disabled, &c.AuthMethod, (*list)(&c.Scopes), (*list)(&c.Audiences), &c.DefaultAudience, &ttl, (*list)(&c.Introspects),
			(*object)(&c.Metadata), (*authenticationOf)(&c), &c.Version, &created, &updated,
			&secret.ID, &secret.Hash, &secret.Label, &added, &expires, &used); err != nil {
			return nil, err
		}
		if len(found) == 0 || found[len(found)-1].ID != c.ID {
			c.TokenTTL = time.Duration(ttl) * time.Second
			c.CreatedAt, c.UpdatedAt = fromMillis(created), fromMillis(updated)
			found = append(found, c)
		}
		if secret.ID != "" {
			secret.CreatedAt, secret.ExpiresAt, secret.LastUsedAt = fromMillis(added), fromMillis(expires), fromMillis(used)
			last := &found[len(found)-1]
			last.Secrets = append(last.Secrets, secret)
		}
	}
	return found, nil
}

// values returns the columns of a client's record: $1 to $12.
func values(c *registry.Client) []any {
	return []any{c.ID, c.Name, c.Disabled, c.AuthMethod, (*list)(&c.Scopes), (*list)(&c.Audiences), c.DefaultAudience,
		int64(c.TokenTTL / time.Second), (*list)(&c.Introspects), strings.ToLower(c.ID + "\n" + c.Name), (*object)(&c.Metadata), (*authenticationOf)(c)}
}

// list is kept as a JSON array; an empty one is read as nil.
type list []string

func (l *list) Value() (driver.Value, error) {
	if len(*l) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal([]string(*l))
	return string(text), err
}

func (l *list) Scan(from any) error {
	var read []string
	if err := scanJSON(from, &read); err != nil {
		return fmt.Errorf("a stored list is damaged: %w", err)
	}
	*l = nil
	if len(read) > 0 {
		*l = read
	}
	return nil
}

// object is kept as a JSON object; an empty one is read as nil.
type object map[string]string

func (o *object) Value() (driver.Value, error) {
	if len(*o) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(map[string]string(*o))
	return string(text), err
}

func (o *object) Scan(from any) error {
	var read map[string]string
	if err := scanJSON(from, &read); err != nil {
		return fmt.Errorf("stored metadata is damaged: %w", err)
	}
	*o = nil
	if len(read) > 0 {
		*o = read
	}
	return nil
}

// scanJSON accepts what drivers return for TEXT.
func scanJSON(from, to any) error {
	switch from := from.(type) {
	case string:
		return json.Unmarshal([]byte(from), to)
	case []byte:
		return json.Unmarshal(from, to)
	}
	return fmt.Errorf("it was read as %T", from)
}
