package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// usesInOne is how many uses go into one statement.
const usesInOne = 200

// SecretsUsed records when secrets were last used. A time ahead of the database's clock
// counts as now. Uses of clients and secrets that do not exist are ignored. It adds
// nothing to the feed. After an error some uses may have been recorded.
func (s *Store) SecretsUsed(ctx context.Context, uses []registry.SecretUse) error {
	if err := s.ready(); err != nil {
		return wrap("keeping when secrets were used", err)
	}
	latest := make(map[[2]string]registry.SecretUse, len(uses))
	for _, u := range uses {
		key := [2]string{u.ClientID, u.SecretID}
		if known, ok := latest[key]; (!ok || known.At.Before(u.At)) && maybeID(u.ClientID) && storable(u.SecretID) {
			latest[key] = u
		}
	}
	batch := make([]registry.SecretUse, 0, len(latest))
	for _, u := range latest {
		batch = append(batch, u)
	}
	slices.SortFunc(batch, func(a, b registry.SecretUse) int { return cmp.Compare(a.ClientID, b.ClientID) })
	if err := s.mayWrite(ctx, s.requests); err != nil {
		return wrap("keeping when secrets were used", err)
	}
	for part := range slices.Chunk(batch, usesInOne) {
		if err := s.secretsUsed(ctx, part); err != nil {
			return wrap("keeping when secrets were used", err)
		}
	}
	return nil
}

// secretsUsed locks the clients in the order of their ids, as every change of
// several clients does.
func (s *Store) secretsUsed(ctx context.Context, uses []registry.SecretUse) error {
	rows := make([][3]any, 0, len(uses))
	for _, u := range uses {
		rows = append(rows, [3]any{u.ClientID, u.SecretID, millis(u.At)})
	}
	list, args := valueList(rows)
	_, err := s.execute(ctx, s.requests, `
WITH given (client_id, id, at) AS (VALUES `+list+`), now (ms) AS (SELECT NOW_MS),
used (client_id, id, at) AS (SELECT client_id, id, CASE WHEN at > now.ms THEN now.ms ELSE at END FROM given, now),
locked AS (SELECT id FROM m2m_clients WHERE id IN (SELECT client_id FROM used) ORDER BY id FOR UPDATE)
UPDATE m2m_secrets SET last_used_at = used.at FROM used, locked, now
WHERE m2m_secrets.client_id = locked.id AND used.client_id = locked.id AND m2m_secrets.id = used.id AND (m2m_secrets.last_used_at < used.at OR m2m_secrets.last_used_at > now.ms)`, args...)
	return err
}

// valueList returns a VALUES list of rows of two texts and a number, and its arguments.
func valueList(rows [][3]any) (list string, args []any) {
	texts := make([]string, 0, len(rows))
	for _, row := range rows {
		n := len(args)
		texts = append(texts, fmt.Sprintf("(CAST($%d AS TEXT), CAST($%d AS TEXT), CAST($%d AS BIGINT))", n+1, n+2, n+3))
		args = append(args, row[:]...)
	}
	return strings.Join(texts, ", "), args
}
