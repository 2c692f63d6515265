package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// AddSecret adds a secret to a client. Make it with [registry.GenerateSecret],
// [registry.HashSecret] or [registry.ImportSecret], and set its ExpiresAt if it shall
// expire. AddSecret sets CreatedAt and clears LastUsedAt. The error is
// [registry.ErrNotFound] when there is no such client, [registry.ErrConflict] when it
// has a secret with that ID, and [registry.ErrInvalid] when the secret is invalid.
func (s *Store) AddSecret(ctx context.Context, clientID string, secret registry.Secret) error {
	if err := s.ready(); err != nil {
		return wrap("adding a secret", err)
	}
	if err := secret.Validate(); err != nil {
		return wrap("adding a secret", err)
	}
	if err := s.mayWrite(ctx, s.operator); err != nil {
		return wrap("adding a secret", err)
	}
	_, err := s.changeClient(ctx, func() (change, error) {
		updatedAt, st, err := s.state(ctx, clientID, secret.ID)
		if err == nil && st.found {
			err = registry.ErrConflict
		}
		if err != nil {
			return change{}, err
		}
		return change{guard: touch(clientID, updatedAt), steps: []step{insertSecret(clientID, &secret, st.last+1)}, entry: changed(clientID)}, nil
	})
	return wrap("adding a secret", err)
}

// RotateSecret adds a generated secret to a client and returns it. Show it once and store
// it nowhere. The other secrets are deleted. With an Overlap they expire after that, by
// the database's clock, unless they expire sooner. The error is [registry.ErrNotFound]
// when there is no such client. After any other error the rotation may have happened;
// it can be repeated.
//
// Rotations of a client happen one after the other. Each returned secret is valid until
// a later rotation removes it.
func (s *Store) RotateSecret(ctx context.Context, clientID string, r registry.Rotation) (plain string, err error) {
	if err := s.ready(); err != nil {
		return "", wrap("rotating a secret", err)
	}
	if err := r.Validate(); err != nil {
		return "", wrap("rotating a secret", err)
	}
	plain, secret := registry.GenerateSecret()
	secret.Label = r.Label
	if !r.Revoke {
		if err := s.mayWrite(ctx, s.operator); err != nil {
			return "", wrap("rotating a secret", err)
		}
	}
	others := step{"DELETE FROM m2m_secrets WHERE client_id = $1 AND GUARD", []any{clientID}}
	if r.Overlap > 0 {
		others = step{"UPDATE m2m_secrets SET expires_at = NOW_MS + $2 WHERE client_id = $1 AND (expires_at = 0 OR expires_at > NOW_MS + $2) AND GUARD",
			[]any{clientID, max(1, r.Overlap.Milliseconds())}}
	}
	entry := changed(clientID)
	if r.Revoke {
		entry = registry.CutOff(clientID)
	}
	_, err = s.changeClient(ctx, func() (change, error) {
		updatedAt, st, err := s.state(ctx, clientID, "")
		if err != nil {
			return change{}, err
		}
		return change{guard: touch(clientID, updatedAt), steps: []step{others, insertSecret(clientID, &secret, st.last+1)}, entry: entry}, nil
	})
	if err != nil {
		return "", wrap("rotating a secret", err)
	}
	return plain, nil
}

// RemoveSecret removes a secret of a client at once. With revoke it also revokes the
// tokens that were granted for the secret, in the same step. The error is
// [registry.ErrNotFound] when there is no such client or secret.
func (s *Store) RemoveSecret(ctx context.Context, clientID, secretID string, revoke bool) error {
	if err := s.ready(); err != nil {
		return wrap("removing a secret", err)
	}
	if !storable(secretID) {
		return wrap("removing a secret", registry.ErrNotFound)
	}
	entry := changed(clientID)
	if revoke {
		entry = registry.Change{Kind: registry.SecretCutOff, ClientID: clientID, SecretID: secretID}
	}
	_, err := s.changeClient(ctx, func() (change, error) {
		updatedAt, st, err := s.state(ctx, clientID, secretID)
		if err == nil && !st.found {
			err = registry.ErrNotFound
		}
		if err != nil {
			return change{}, err
		}
		remove := step{"DELETE FROM m2m_secrets WHERE client_id = $1 AND id = $2 AND GUARD", []any{clientID, secretID}}
		return change{guard: touch(clientID, updatedAt), steps: []step{remove}, entry: entry}, nil
	})
	return wrap("removing a secret", err)
}

// secretState is what a change of a client's secrets depends on.
type secretState struct {
	last  int64 // the greatest position
	found bool  // the client has the secret, expired or not
}

// state reads when a client was last changed, and the state of its secrets.
func (s *Store) state(ctx context.Context, clientID, secretID string) (updatedAt int64, st secretState, err error) {
	if !maybeID(clientID) {
		return 0, st, registry.ErrNotFound
	}
	var found int64
	err = s.row(ctx, s.operator, `
SELECT c.updated_at, COALESCE(MAX(s.position), 0), COUNT(CASE WHEN s.id = $2 THEN 1 END)
FROM m2m_clients c LEFT JOIN m2m_secrets s ON s.client_id = c.id WHERE c.id = $1 GROUP BY c.id, c.updated_at`,
		[]any{clientID, secretID}, &updatedAt, &st.last, &found)
	if errors.Is(err, sql.ErrNoRows) {
		err = registry.ErrNotFound
	}
	st.found = found > 0
	return updatedAt, st, err
}

// touch locks the client if it has not changed since updatedAt, and marks it as changed.
func touch(clientID string, updatedAt int64) *step {
	return &step{"UPDATE m2m_clients SET updated_at = " + nextUpdate + " WHERE id = $1 AND updated_at = $2 RETURNING updated_at", []any{clientID, updatedAt}}
}

// insertSecret adds a secret to the client. The guard's number is its CreatedAt.
func insertSecret(clientID string, secret *registry.Secret, position int64) step {
	return step{`
INSERT INTO m2m_secrets (client_id, id, position, hash, label, created_at, expires_at, last_used_at)
SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS TEXT), FOUND, CAST($6 AS BIGINT), 0 WHERE GUARD`,
		[]any{clientID, secret.ID, position, secret.Hash, secret.Label, millis(secret.ExpiresAt)}}
}

// asStored returns the secret as a read returns it.
func asStored(secret registry.Secret, created time.Time) registry.Secret {
	secret.CreatedAt, secret.LastUsedAt = created, time.Time{}
	secret.ExpiresAt = fromMillis(millis(secret.ExpiresAt))
	return secret
}
