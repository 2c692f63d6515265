package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"time"
)

// tx is one transaction, or one attempt at it.
type tx struct {
	store *Store
	conn  *sql.Conn
}

// exec returns how many rows it has changed.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := t.conn.ExecContext(ctx, t.store.sql(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *tx) row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.conn.QueryRowContext(ctx, t.store.sql(query), args...)
}

// write runs do in a transaction, several times if the database asks for that.
// With an error nothing is written, unless it was the commit that failed: then
// it is unknown.
func (s *Store) write(ctx context.Context, p *pool, do func(*tx) error) error {
	return s.repeat(ctx, p, func() error { return s.transact(ctx, p, do) })
}

// execute runs one statement that writes, in a transaction of its own, and
// returns how many rows it has changed.
func (s *Store) execute(ctx context.Context, p *pool, query string, args ...any) (changed int64, err error) {
	err = s.repeat(ctx, p, func() error {
		result, err := p.db.ExecContext(ctx, s.sql(query), args...)
		if err == nil {
			changed, err = result.RowsAffected()
		}
		return err
	})
	return changed, err
}

// attempts bounds how often the database may ask for a repetition.
const attempts = 5

func (s *Store) repeat(ctx context.Context, p *pool, attempt func() error) error {
	if err := p.writers.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.writers.Release(1)
	if s.sqlite {
		if err := s.writer.Acquire(ctx, 1); err != nil {
			return err
		}
		defer s.writer.Release(1)
	}
	for n := 1; ; n++ {
		err := attempt()
		if !retryable(err) || n == attempts {
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(n) * 20 * time.Millisecond)): //nolint:gosec // jitter: nothing secret depends on it
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// transact uses plain statements rather than sql.Tx: BEGIN IMMEDIATE has no
// name there, and a COMMIT could wait beyond the context.
func (s *Store) transact(ctx context.Context, p *pool, do func(*tx) error) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	begin := beginPostgres
	if s.sqlite {
		begin = beginSQLite
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return undo(ctx, conn, err)
	}
	if err := do(&tx{s, conn}); err != nil {
		return undo(ctx, conn, err)
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return undo(ctx, conn, err)
	}
	return nil
}

// undo ends a transaction that failed and returns why it did. A connection that
// cannot be asked to, within the caller's time, is closed, which does it as well.
func undo(ctx context.Context, conn *sql.Conn, cause error) error {
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it
	}
	return cause
}
