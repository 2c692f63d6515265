package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// AddSecret gives a client one more secret, made by [registry.GenerateSecret],
// [registry.HashSecret] or [registry.ImportSecret], with an ExpiresAt if it is to
// have one; CreatedAt and LastUsedAt are set here. The error is
// [registry.ErrNotFound] when there is no such client, [registry.ErrConflict] when
// it has a secret with that ID, and says what is wrong with one that is not valid.
func (s *Store) AddSecret(ctx context.Context, clientID string, secret registry.Secret) error {
	if err := s.ready(); err != nil {
		return wrap("adding a secret", err)
	}
	now := time.Now()
	secret = asStored(secret, now)
	if err := check(&registry.Client{ID: clientID, Secrets: []registry.Secret{secret}}); err != nil {
		return wrap("adding a secret", err)
	}
	return wrap("adding a secret", s.changeSecrets(ctx, registry.Change{Kind: registry.ClientChanged, ClientID: clientID}, now, func(t *tx) error {
		added, err := t.addSecret(ctx, clientID, &secret)
		if err == nil && !added {
			return registry.ErrConflict
		}
		return err
	}))
}

// RotateSecret gives a client a newly generated secret and returns it, to be
// shown once and kept nowhere. Each other one in force expires after overlap, or
// when it would have if that is sooner; with an overlap of 0, now. The label is
// the new secret's. The error is [registry.ErrNotFound] when there is no such
// client; after any other, the rotation may have happened and can be repeated.
//
// Rotations of a client wait for each other: each secret returned is in force
// until it is rotated out in turn.
func (s *Store) RotateSecret(ctx context.Context, clientID string, r registry.Rotation) (plain string, err error) {
	if err := s.ready(); err != nil {
		return "", wrap("rotating a secret", err)
	}
	if err := r.Validate(); err != nil {
		return "", wrap("rotating a secret", err)
	}
	now := time.Now()
	plain, secret := registry.GenerateSecret()
	secret.Label = r.Label
	secret = asStored(secret, now)
	if err := check(&registry.Client{ID: clientID, Secrets: []registry.Secret{secret}}); err != nil {
		return "", wrap("rotating a secret", err)
	}
	written := registry.Change{Kind: registry.ClientChanged, ClientID: clientID}
	if r.Revoke {
		written = registry.CutOff(clientID)
	}
	err = s.changeSecrets(ctx, written, now, func(t *tx) error {
		_, err := t.exec(ctx, "UPDATE m2m_secrets SET expires_at = $2 WHERE client_id = $1 AND (expires_at = 0 OR expires_at > $2)",
			clientID, max(1, now.Add(r.Overlap).UnixMilli())) // down to the millisecond, so that no overlap is none
		if err != nil {
			return err
		}
		_, err = t.addSecret(ctx, clientID, &secret)
		return err
	})
	if err != nil {
		return "", wrap("rotating a secret", err)
	}
	return plain, nil
}

// RemoveSecret takes a secret from a client at once. The error is
// [registry.ErrNotFound] when there is no such client or it has no such secret.
// Tokens that were granted for it stay valid.
func (s *Store) RemoveSecret(ctx context.Context, clientID, secretID string, revoke bool) error {
	if err := s.ready(); err != nil {
		return wrap("removing a secret", err)
	}
	if !storable(secretID) {
		return wrap("removing a secret", registry.ErrNotFound)
	}
	written := registry.Change{Kind: registry.ClientChanged, ClientID: clientID}
	if revoke {
		written = registry.Change{Kind: registry.SecretCutOff, ClientID: clientID, SecretID: secretID}
	}
	return wrap("removing a secret", s.changeSecrets(ctx, written, time.Now(), func(t *tx) error {
		removed, err := t.exec(ctx, "DELETE FROM m2m_secrets WHERE client_id = $1 AND id = $2", clientID, secretID)
		if err == nil && removed == 0 {
			return registry.ErrNotFound
		}
		return err
	}))
}

// changeSecrets runs do with the client to itself, and tells the replicas.
func (s *Store) changeSecrets(ctx context.Context, written registry.Change, now time.Time, do func(*tx) error) error {
	defer s.wrote()
	return s.write(ctx, s.operator, func(t *tx) error {
		if _, err := t.lock(ctx, written.ClientID, now); err != nil {
			return err
		}
		if err := do(t); err != nil {
			return err
		}
		_, err := t.revoke(ctx, written, now)
		return err
	})
}

// lock keeps other writers of the client out to the end of the transaction and
// returns its TokenTTL. Every transaction takes clients first, several in the
// order of their ids, and the feed last, so none waits for one that waits for it.
func (t *tx) lock(ctx context.Context, clientID string, now time.Time) (time.Duration, error) {
	if !maybeID(clientID) {
		return 0, registry.ErrNotFound
	}
	var seconds int64
	err := t.row(ctx, "UPDATE m2m_clients SET updated_at = $2 WHERE id = $1 RETURNING token_ttl", clientID, now.UnixMilli()).Scan(&seconds)
	if errors.Is(err, sql.ErrNoRows) {
		err = registry.ErrNotFound
	}
	return time.Duration(seconds) * time.Second, err
}

// addSecret reports false when the client has one with that id. The client is
// locked, or of this transaction.
func (t *tx) addSecret(ctx context.Context, clientID string, secret *registry.Secret) (bool, error) {
	added, err := t.exec(ctx, `
INSERT INTO m2m_secrets (client_id, id, position, hash, label, created_at, expires_at, last_used_at)
VALUES ($1, $2, (SELECT COALESCE(MAX(position), 0) + 1 FROM m2m_secrets WHERE client_id = $1), $3, $4, $5, $6, 0)
ON CONFLICT (client_id, id) DO NOTHING`,
		clientID, secret.ID, secret.Hash, secret.Label, millis(secret.CreatedAt), millis(secret.ExpiresAt))
	return added == 1, err
}

// asStored is what reading the secret will give.
func asStored(secret registry.Secret, now time.Time) registry.Secret {
	secret.CreatedAt, secret.LastUsedAt = fromMillis(now.UnixMilli()), time.Time{}
	secret.ExpiresAt = fromMillis(millis(secret.ExpiresAt))
	return secret
}

// usesInOne is how many last-used times go into one transaction.
const usesInOne = 200

// SecretsUsed keeps when secrets were last used, the latest time of each. Uses
// of clients and secrets that are gone are ignored, and it is no change of the
// client that replicas hear of. After an error some may have been kept.
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
	for part := range slices.Chunk(batch, usesInOne) {
		if err := s.write(ctx, s.requests, func(t *tx) error { return t.secretsUsed(ctx, part) }); err != nil {
			return wrap("keeping when secrets were used", err)
		}
	}
	return nil
}

func (t *tx) secretsUsed(ctx context.Context, uses []registry.SecretUse) error {
	var clients, secrets []string // placeholders
	var ids, args []any
	for _, u := range uses {
		ids, args = append(ids, u.ClientID), append(args, u.ClientID, u.SecretID, millis(u.At))
		clients = append(clients, fmt.Sprintf("$%d", len(ids)))
		secrets = append(secrets, fmt.Sprintf("(CAST($%d AS TEXT), CAST($%d AS TEXT), CAST($%d AS BIGINT))", len(args)-2, len(args)-1, len(args)))
	}
	// As lock does for one. Each row is locked as it is counted.
	var locked int
	if err := t.row(ctx, "SELECT COUNT(*) FROM (SELECT id FROM m2m_clients WHERE id IN ("+strings.Join(clients, ", ")+") ORDER BY id FOR UPDATE) locked", ids...).Scan(&locked); err != nil {
		return err
	}
	_, err := t.exec(ctx, "WITH used (client_id, id, at) AS (VALUES "+strings.Join(secrets, ", ")+`)
UPDATE m2m_secrets SET last_used_at = used.at FROM used
WHERE m2m_secrets.client_id = used.client_id AND m2m_secrets.id = used.id AND m2m_secrets.last_used_at < used.at`, args...)
	return err
}
