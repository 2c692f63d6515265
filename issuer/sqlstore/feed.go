package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// maxPage is how many changes a page has.
const maxPage = 10_000

// Revoke adds a change to the feed and returns its sequence; it is committed when
// Revoke returns nil. The feed holds the latest change of each kind, token, client and
// secret. A TokenRevoked that does not expire later than the one in the feed keeps that
// one's sequence. A ClientCutOff replaces each earlier TokenRevoked of its client; these
// are deleted soon after.
//
// It queues with what requests cause, unless the context is an operator's
// ([registry.AsOperator]). Clients can cause it, because they may revoke their own
// tokens.
//
// Sequence is ignored, and so is ExpiresAt of all kinds but TokenRevoked. The error is
// [registry.ErrInvalid] when the change is invalid ([registry.Change.Validate]).
func (s *Store) Revoke(ctx context.Context, c registry.Change) (sequence int64, err error) {
	if err := s.ready(); err != nil {
		return 0, wrap("revoking", err)
	}
	if err := c.Validate(); err != nil {
		return 0, wrap("revoking", err)
	}
	_, sequence, err = s.apply(ctx, s.poolOf(ctx), &change{entry: c})
	if err != nil {
		return 0, wrap("revoking", err)
	}
	s.wrote(&c, sequence)
	return sequence, nil
}

// feedGrace is how long a change is still returned after it has expired. To a replica
// whose clock is behind, and with the leeway of an API, its token is still valid.
const feedGrace = 2 * registry.MaxClockSkew

// Changes returns the changes after a sequence, in order, at most 10 000. It leaves
// out those that expired two minutes ago by the database's clock. Only the last of a
// full page is returned even so, if the page would be empty otherwise. It is one
// statement, so End is of the same moment. It reads one page of rows, however many have
// expired.
//
// On PostgreSQL Page.Now is the database's clock, which is compared with this
// machine's each time.
func (s *Store) Changes(ctx context.Context, since int64) (registry.Page, error) {
	if err := s.ready(); err != nil {
		return registry.Page{}, wrap("reading the feed", err)
	}
	page, err := s.readFeed(ctx, since)
	return page, wrap("reading the feed", err)
}

// readFeed reads one row more than fits in a page, to set More.
func (s *Store) readFeed(ctx context.Context, since int64) (page registry.Page, err error) {
	var now int64
	found := false
	before := s.clock.moment()
	scan := func(rows *sql.Rows) error {
		for read := 1; rows.Next(); read++ {
			found = true
			var c registry.Change
			var cutOff, live bool
			var expires int64
			if err := rows.Scan(&now, &page.End, &c.Sequence, &c.TokenID, &c.ClientID, &cutOff, &expires, &live); err != nil {
				return err
			}
			if read > maxPage {
				page.More = true
				break
			}
			if !live && (read < maxPage || len(page.Changes) > 0) {
				continue // expired, or no change but End alone
			}
			c.ExpiresAt = fromMillis(expires)
			if c.Kind = kindOf(c.TokenID, c.ClientID, cutOff); c.Kind == registry.SecretCutOff {
				c.TokenID, c.SecretID = "", c.TokenID
			}
			page.Changes = append(page.Changes, c)
		}
		return nil
	}
	err = s.query(ctx, s.follower, scan, `
SELECT (SELECT NOW_US), n.seq, COALESCE(f.seq, 0), COALESCE(f.token_id, ''), COALESCE(f.client_id, ''), COALESCE(f.cutoff, FALSE), COALESCE(f.expires_at, 0),
  COALESCE(f.expires_at > (SELECT GONE_MS) - $3, FALSE)
FROM m2m_feed_seq n LEFT JOIN (
  SELECT seq, token_id, client_id, cutoff, expires_at FROM m2m_feed WHERE seq > $1 ORDER BY seq LIMIT $2
) f ON TRUE
WHERE n.id = 1
ORDER BY f.seq`, since, maxPage+1, feedGrace.Milliseconds())
	if err == nil && !found {
		err = errNoNumber
		s.health.read(err)
	}
	if err != nil {
		return registry.Page{}, err
	}
	s.health.ended(page.End)
	if !s.sqlite {
		page.Now = time.UnixMicro(now)
		s.clock.compare(before, s.clock.moment(), page.Now)
	}
	return page, nil
}
