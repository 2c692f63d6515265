package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const (
	// pageOfFeed is how many entries Revocations returns at most.
	pageOfFeed = 10_000

	// announced is how long a change of a client stays in the feed: longer than
	// any replica keeps a record of it without asking.
	announced = time.Hour

	// maxTokenID is how long a jti may be; PostgreSQL indexes no more than about
	// 2700 bytes.
	maxTokenID = 512
)

// Revoke adds a revocation to the feed; it is committed when Revoke returns nil.
// A token or client that is revoked already keeps the later NotBefore and the
// later ExpiresAt of the two, so the feed holds each at most once. Sequence is
// ignored. It is an error if the revocation names nothing, does not say when it
// expires, or has a TokenID of more than 512 bytes.
func (s *Store) Revoke(ctx context.Context, r registry.Revocation) error {
	switch {
	case r.TokenID == "" && r.ClientID == "":
		return errors.New("sqlstore: Revocation names neither a token nor a client: write TokenID or ClientID")
	case r.ExpiresAt.IsZero():
		return errors.New("sqlstore: Revocation.ExpiresAt is zero: write when the tokens expire")
	case len(r.TokenID) > maxTokenID || len(r.ClientID) > maxTokenID || !storable(r.TokenID) || !storable(r.ClientID):
		return fmt.Errorf("sqlstore: Revocation.TokenID and ClientID are UTF-8 without NUL, at most %d bytes", maxTokenID)
	}
	defer s.wrote()
	return failed("revoking", s.write(ctx, func(t *tx) error { return t.revoke(ctx, r) }))
}

// announce tells the other replicas that the client's record has changed.
func (t *tx) announce(ctx context.Context, clientID string, now time.Time) error {
	return t.revoke(ctx, registry.Revocation{ClientID: clientID, ExpiresAt: now.Add(announced)})
}

// revoke is the last thing that a transaction does: from the taking of a number
// to the commit, all others who need one wait.
func (t *tx) revoke(ctx context.Context, r registry.Revocation) error {
	// Numbers go by the clock where that is ahead, so that a database that was set
	// back (a restored backup, a failover that lost commits) does not give anew
	// the ones that followers have seen.
	var sequence int64
	if err := t.row(ctx, "UPDATE m2m_feed_seq SET seq = CASE WHEN seq < $1 THEN $1 ELSE seq + 1 END WHERE id = 1 RETURNING seq", time.Now().UnixMicro()).Scan(&sequence); err != nil {
		return err
	}
	// A repetition that says nothing new keeps its place; a change of a record
	// always does.
	_, err := t.exec(ctx, `
INSERT INTO m2m_feed (seq, token_id, client_id, cutoff, not_before, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (token_id, client_id, cutoff) DO UPDATE SET
  seq = excluded.seq,
  not_before = CASE WHEN excluded.not_before > m2m_feed.not_before THEN excluded.not_before ELSE m2m_feed.not_before END,
  expires_at = CASE WHEN excluded.expires_at > m2m_feed.expires_at THEN excluded.expires_at ELSE m2m_feed.expires_at END
WHERE excluded.not_before > m2m_feed.not_before OR excluded.expires_at > m2m_feed.expires_at
  OR (excluded.token_id = '' AND NOT excluded.cutoff)`,
		sequence, r.TokenID, r.ClientID, !r.NotBefore.IsZero(), millis(r.NotBefore), millis(r.ExpiresAt))
	return err
}

// Revocations returns the entries of the feed after a sequence, in order, at
// most 10 000, without those that have expired. A sequence that the feed has not
// reached is an error with [registry.ErrConflict]: the database has been set back,
// by a restored backup or a failover that lost commits, and what was revoked
// since must be read from the start.
func (s *Store) Revocations(ctx context.Context, since int64) ([]registry.Revocation, error) {
	entries, end, err := s.readFeed(ctx, since, time.Now())
	if err != nil {
		return nil, failed("reading revocations", err)
	}
	if len(entries) == 0 && end < since {
		return nil, fmt.Errorf("sqlstore: the feed ends at %d, before %d: the database has been set back: %w", end, since, registry.ErrConflict)
	}
	return entries, nil
}

// readFeed returns also where the feed ended at the same instant. The + 0 keeps
// planners that know no better from the index on expires_at, by which every page
// would sort the whole feed.
func (s *Store) readFeed(ctx context.Context, since int64, now time.Time) (entries []registry.Revocation, end int64, err error) {
	rows, err := s.db.QueryContext(ctx, s.sql(`
SELECT n.seq, COALESCE(f.seq, 0), COALESCE(f.token_id, ''), COALESCE(f.client_id, ''), COALESCE(f.not_before, 0), COALESCE(f.expires_at, 0)
FROM m2m_feed_seq n LEFT JOIN (
  SELECT seq, token_id, client_id, not_before, expires_at FROM m2m_feed WHERE seq > $1 AND expires_at + 0 > $2 ORDER BY seq LIMIT $3
) f ON TRUE
WHERE n.id = 1
ORDER BY f.seq`), since, now.UnixMilli(), pageOfFeed)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r registry.Revocation
		var notBefore, expires int64
		if err := rows.Scan(&end, &r.Sequence, &r.TokenID, &r.ClientID, &notBefore, &expires); err != nil {
			return nil, 0, err
		}
		if r.Sequence != 0 {
			r.NotBefore, r.ExpiresAt = fromMillis(notBefore), fromMillis(expires)
			entries = append(entries, r)
		}
	}
	return entries, end, rows.Err()
}
