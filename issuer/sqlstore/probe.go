package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// touchTables reads a row of each table, to find one that is missing or damaged, as after
// an incomplete restore.
const touchTables = `
SELECT n.seq, n.seq < ` + maxNumber + `, (SELECT NOW_US), TRANSACTION_MODE,
  (SELECT COUNT(x.name) FROM (SELECT name FROM m2m_clients LIMIT 1) x) + (SELECT COUNT(x.hash) FROM (SELECT hash FROM m2m_secrets LIMIT 1) x) +
  (SELECT COUNT(x.cutoff) FROM (SELECT cutoff FROM m2m_feed LIMIT 1) x) + (SELECT COUNT(x.expires_at) FROM (SELECT digest, expires_at FROM m2m_once LIMIT 1) x) +
  (SELECT COUNT(x.state) FROM (SELECT state FROM m2m_keys LIMIT 1) x) + (SELECT COUNT(x.succeeded_at) FROM (SELECT client_id, network, succeeded_at FROM m2m_networks LIMIT 1) x) +
  (SELECT COUNT(x.trusted) FROM (SELECT trusted FROM m2m_clock LIMIT 1) x) + (SELECT COUNT(x.applied_at) FROM (SELECT applied_at FROM m2m_schema LIMIT 1) x)
FROM m2m_feed_seq n WHERE n.id = 1`

// readable reads each table, the clock, and whether the database takes writes.
func (s *Store) readable(ctx context.Context) error {
	mode := "'off'"
	if !s.sqlite {
		mode = readOnlyMode
	}
	var end, us, rows int64
	var counts bool
	before := s.clock.moment()
	err := s.row(ctx, s.operator, strings.Replace(touchTables, "TRANSACTION_MODE", mode, 1), nil, &end, &counts, &us, &mode, &rows)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !counts {
		s.health.read(errNoNumber)
		return errNoNumber
	}
	if err != nil || s.sqlite {
		return err
	}
	s.clock.compare(before, s.clock.moment(), time.UnixMicro(us))
	s.health.takesWrites(mode)
	return nil
}

// errUndo undoes a transaction that has succeeded.
var errUndo = errors.New("undone")

// probes write to each table and change nothing, even if they are not undone. They need the
// role's permissions. Beside them a change is tried.
var probes = []string{
	"UPDATE m2m_schema SET applied_at = applied_at WHERE version = 0",
	"INSERT INTO m2m_once (digest, expires_at) SELECT digest, expires_at FROM m2m_once WHERE 1 = 0",
	"INSERT INTO m2m_clients (id) SELECT id FROM m2m_clients WHERE 1 = 0",
	"UPDATE m2m_clients SET version = version WHERE 1 = 0",
	"INSERT INTO m2m_secrets (id) SELECT id FROM m2m_secrets WHERE 1 = 0",
	"DELETE FROM m2m_secrets WHERE 1 = 0",
	"INSERT INTO m2m_networks (client_id) SELECT client_id FROM m2m_networks WHERE 1 = 0",
	"UPDATE m2m_keys SET state = state WHERE id = 1",
	"UPDATE m2m_clock SET steady = steady WHERE id = 1",
}

// probed is a digest that no replay record has: it is too short.
var probed = []byte("probe")

// tryWrite writes to every table, and undoes that. On SQLite it first needs space for
// some revocations, because a small write may succeed on a full disk. That is a row of
// networks that belongs to no client and has long expired, so that the next sweep removes
// it after a crash.
func (s *Store) tryWrite(ctx context.Context) error {
	if s.sqlite {
		const room = 64 << 10
		if _, err := s.execute(ctx, s.operator, "INSERT INTO m2m_networks (client_id, network, succeeded_at) VALUES ('', $1, 0) ON CONFLICT DO NOTHING", strings.Repeat("x", room)); err != nil {
			return err
		}
		if _, err := s.execute(ctx, s.operator, "DELETE FROM m2m_networks WHERE client_id = ''"); err != nil {
			return err
		}
	}
	err := s.repeat(ctx, s.operator, s.operator.feed, toFeed, func() error {
		err := s.transact(ctx, s.operator, func(t *tx) error {
			if err := t.probe(ctx); err != nil {
				return err
			}
			return errUndo
		})
		if errors.Is(err, errUndo) {
			return nil
		}
		return err
	})
	if err == nil {
		s.health.worked()
	}
	return err
}

// probe makes the writes. The change is last, because others wait for its lock.
func (t *tx) probe(ctx context.Context) error {
	for _, statement := range probes {
		if err := t.exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := t.exec(ctx, "INSERT INTO m2m_once (digest, expires_at) VALUES ($1, 0)", probed); err != nil {
		return err
	}
	c := change{entry: registry.Change{Kind: registry.ClientChanged}}
	entry := t.store.entry(&c.entry)
	if t.store.sqlite {
		_, _, err := t.apply(ctx, &c, entry)
		return err
	}
	query, args := t.store.statement(c.statement(entry))
	_, _, err := scanChange(t.conn.QueryRowContext(ctx, query, args...))
	return err
}
