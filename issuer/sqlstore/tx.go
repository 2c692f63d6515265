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
// nobody knows.
func (s *Store) write(ctx context.Context, do func(*tx) error) error {
	return s.repeat(ctx, func() error { return s.transact(ctx, do) })
}

// execute runs one statement that writes, in a transaction of its own, and
// returns how many rows it has changed.
func (s *Store) execute(ctx context.Context, query string, args ...any) (changed int64, err error) {
	err = s.repeat(ctx, func() error {
		result, err := s.db.ExecContext(ctx, s.sql(query), args...)
		if err == nil {
			changed, err = result.RowsAffected()
		}
		return err
	})
	return changed, err
}

// attempts bounds how often the database may ask for a repetition.
const attempts = 5

func (s *Store) repeat(ctx context.Context, attempt func() error) error {
	if s.sqlite {
		select {
		case s.writer <- struct{}{}:
			defer func() { <-s.writer }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for n := 1; ; n++ {
		err := attempt()
		if !again(err) || n == attempts {
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(n) * 20 * time.Millisecond)): //nolint:gosec // jitter: nothing secret hangs on it
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// transact uses plain statements rather than sql.Tx: BEGIN IMMEDIATE has no
// name there, and a COMMIT could wait beyond the context.
func (s *Store) transact(ctx context.Context, do func(*tx) error) error {
	conn, err := s.db.Conn(ctx)
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
