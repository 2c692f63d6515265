package jwks_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
)

// oneRow is the database of ExampleSealed: one table of at most one row. It knows the
// three statements of the example, so the example needs no database.
type oneRow struct {
	mu    sync.Mutex
	state []byte // nil without a row
}

func (o *oneRow) Connect(context.Context) (driver.Conn, error) { return oneRowConn{o}, nil }
func (o *oneRow) Driver() driver.Driver                        { return nil }

type oneRowConn struct{ *oneRow }

func (oneRowConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (oneRowConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (oneRowConn) Close() error                        { return nil }

func (c oneRowConn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if !strings.HasPrefix(query, "SELECT") {
		return nil, errors.ErrUnsupported
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &oneRowRows{c.state}, nil
}

func (c oneRowConn) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var written bool
	switch {
	case strings.HasPrefix(query, "INSERT"):
		written = c.state == nil
	case strings.HasPrefix(query, "UPDATE"):
		old, ok := args[1].Value.([]byte)
		written = ok && c.state != nil && bytes.Equal(c.state, old)
	default:
		return nil, errors.ErrUnsupported
	}
	if !written {
		return driver.RowsAffected(0), nil
	}
	state, _ := args[0].Value.([]byte)
	c.state = bytes.Clone(state)
	return driver.RowsAffected(1), nil
}

type oneRowRows struct{ state []byte }

func (r *oneRowRows) Columns() []string { return []string{"state"} }
func (r *oneRowRows) Close() error      { return nil }

func (r *oneRowRows) Next(row []driver.Value) error {
	if r.state == nil {
		return io.EOF
	}
	row[0], r.state = r.state, nil
	return nil
}
