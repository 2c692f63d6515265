package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// tx is a transaction of several statements: a change on SQLite, or a migration.
type tx struct {
	store *Store
	conn  *sql.Conn
}

func (t *tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.conn.ExecContext(ctx, t.store.sql(query), args...)
	return err
}

func (t *tx) row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.conn.QueryRowContext(ctx, t.store.sql(query), args...)
}

// transact runs do in a transaction. After an error nothing is written, unless the
// commit failed: then it is unknown. It uses plain statements because sql.Tx knows no
// BEGIN IMMEDIATE, and its Commit may wait beyond the context.
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

// undo ends a transaction that failed, and returns the cause. A connection on which
// ROLLBACK fails is closed, which has the same effect.
func undo(ctx context.Context, conn *sql.Conn, cause error) error {
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it
	}
	return cause
}
