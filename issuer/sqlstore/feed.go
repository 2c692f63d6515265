package sqlstore

import (
	"context"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const (
	// maxPage is how many changes a page has.
	maxPage = 10_000

	// changedFor is how long a change of a client's record stays in the feed:
	// longer than any replica keeps a copy of it.
	changedFor = time.Hour
)

// Revoke adds a change to the feed and returns its sequence; it is committed when
// Revoke returns nil. Of changes of one kind, token and client the feed holds
// one, with the later NotBefore and the later ExpiresAt. It keeps its place if
// the new one says nothing new, which a ClientChanged always does.
//
// Sequence is ignored. An error tells when the change is not valid
// ([registry.Change.Validate]).
func (s *Store) Revoke(ctx context.Context, c registry.Change) (sequence int64, err error) {
	if err := s.ready(); err != nil {
		return 0, wrap("revoking", err)
	}
	if err := c.Validate(); err != nil {
		return 0, wrap("revoking", err)
	}
	defer s.wrote()
	p := s.operator
	if c.Kind == registry.TokenRevoked {
		p = s.requests // clients revoke their own
	}
	err = s.write(ctx, p, func(t *tx) (err error) {
		sequence, err = t.revoke(ctx, c, time.Now())
		return err
	})
	if err != nil {
		return 0, wrap("revoking", err)
	}
	return sequence, nil
}

// announce tells the other replicas that the client's record has changed.
func (t *tx) announce(ctx context.Context, clientID string, now time.Time) error {
	_, err := t.revoke(ctx, registry.Change{Kind: registry.ClientChanged, ClientID: clientID}, now)
	return err
}

// cutOff revokes all tokens of a client that gets no more.
func (t *tx) cutOff(ctx context.Context, clientID string, now time.Time) error {
	_, err := t.revoke(ctx, registry.CutOff(clientID), now)
	return err
}

// revoke is the last thing that a transaction does: from the taking of a number
// to the commit, all others who need one wait.
func (t *tx) revoke(ctx context.Context, c registry.Change, now time.Time) (sequence int64, err error) {
	cutOff := c.Kind != registry.TokenRevoked && c.Kind != registry.ClientChanged
	var notBefore time.Time
	if cutOff {
		notBefore = now
	}
	if c.Kind != registry.TokenRevoked {
		c.ExpiresAt = now.Add(c.Kind.Lifetime())
	}
	// Numbers follow the clock where that is ahead, so that a database that was set
	// back (a restored backup, a failover that lost commits) does not give anew
	// the ones that followers have seen.
	err = t.row(ctx, "UPDATE m2m_feed_seq SET seq = CASE WHEN seq < $1 THEN $1 ELSE seq + 1 END WHERE id = 1 RETURNING seq", time.Now().UnixMicro()).Scan(&sequence)
	if err != nil {
		return 0, err
	}
	// The kind is in the columns: a token_id is TokenRevoked's, cutoff is
	// ClientCutOff's.
	err = t.row(ctx, `
INSERT INTO m2m_feed (seq, token_id, client_id, cutoff, not_before, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (token_id, client_id, cutoff) DO UPDATE SET
  seq = CASE WHEN excluded.not_before > m2m_feed.not_before OR excluded.expires_at > m2m_feed.expires_at
    OR excluded.cutoff OR excluded.token_id = '' THEN excluded.seq ELSE m2m_feed.seq END,
  not_before = CASE WHEN excluded.not_before > m2m_feed.not_before THEN excluded.not_before ELSE m2m_feed.not_before END,
  expires_at = CASE WHEN excluded.expires_at > m2m_feed.expires_at THEN excluded.expires_at ELSE m2m_feed.expires_at END
RETURNING seq`,
		sequence, c.TokenID+c.SecretID, c.ClientID, cutOff, millis(notBefore), millis(c.ExpiresAt)).Scan(&sequence)
	return sequence, err
}

// Changes returns the changes after a sequence, in order, at most 10 000, without
// those that have expired. It is one statement, so End is of the same moment.
func (s *Store) Changes(ctx context.Context, since int64) (registry.Page, error) {
	if err := s.ready(); err != nil {
		return registry.Page{}, wrap("reading the feed", err)
	}
	page, err := s.readFeed(ctx, since, time.Now())
	if err != nil {
		return registry.Page{}, wrap("reading the feed", err)
	}
	if page.More = len(page.Changes) > maxPage; page.More {
		page.Changes = page.Changes[:maxPage]
	}
	return page, nil
}

// readFeed reads one more than a page has. The + 0 keeps planners that know no
// better from the index on expires_at, by which every page would sort the whole
// feed.
func (s *Store) readFeed(ctx context.Context, since int64, now time.Time) (page registry.Page, err error) {
	rows, err := s.operator.db.QueryContext(ctx, s.sql(`
SELECT n.seq, COALESCE(f.seq, 0), COALESCE(f.token_id, ''), COALESCE(f.client_id, ''), COALESCE(f.cutoff, FALSE),
  COALESCE(f.not_before, 0), COALESCE(f.expires_at, 0)
FROM m2m_feed_seq n LEFT JOIN (
  SELECT seq, token_id, client_id, cutoff, not_before, expires_at FROM m2m_feed WHERE seq > $1 AND expires_at + 0 > $2 ORDER BY seq LIMIT $3
) f ON TRUE
WHERE n.id = 1
ORDER BY f.seq`), since, now.UnixMilli(), maxPage+1)
	if err != nil {
		return registry.Page{}, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c registry.Change
		var cutOff bool
		var notBefore, expires int64
		if err := rows.Scan(&page.End, &c.Sequence, &c.TokenID, &c.ClientID, &cutOff, &notBefore, &expires); err != nil {
			return registry.Page{}, err
		}
		if c.Sequence != 0 {
			c.Kind = kindOf(c.TokenID, c.ClientID, cutOff)
			if c.Kind == registry.SecretCutOff {
				c.TokenID, c.SecretID = "", c.TokenID
			}
			c.ExpiresAt = fromMillis(expires)
			page.Changes = append(page.Changes, c)
		}
	}
	return page, rows.Err()
}

func kindOf(tokenID, clientID string, cutOff bool) registry.Kind {
	switch {
	case cutOff && tokenID != "":
		return registry.SecretCutOff
	case cutOff && clientID == "":
		return registry.AllCutOff
	case cutOff:
		return registry.ClientCutOff
	case tokenID != "":
		return registry.TokenRevoked
	}
	return registry.ClientChanged
}
