package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Limits that PostgreSQL enforces, so that a process which is frozen or disconnected
// holds no lock for long. lockTimeout is longer than idleInTransaction, so a process
// that waits for such a lock gets it.
const (
	idleInTransaction = 1500 * time.Millisecond
	lockTimeout       = 2 * time.Second
	statementTimeout  = 2500 * time.Millisecond

	// operatorTimeout is longer, as a search may read all clients.
	operatorTimeout = 10 * time.Second
)

// connector makes the connections of one pool. It has no Close, which database/sql
// would call for each pool.
type connector struct {
	driver.Connector
	session atomic.Pointer[string] // the statement to run on each new connection
	file    atomic.Pointer[file]   // SQLite's file, which each new connection must have opened
}

// limit sets the limits of connections that are made from now on.
func (c *connector) limit(statement time.Duration) {
	session := fmt.Sprintf("SELECT set_config('statement_timeout', '%d', false), set_config('lock_timeout', '%d', false),"+
		" set_config('idle_in_transaction_session_timeout', '%d', false), set_config('default_transaction_isolation', 'read committed', false)",
		statement.Milliseconds(), lockTimeout.Milliseconds(), idleInTransaction.Milliseconds())
	c.session.Store(&session)
}

// Connect makes a connection and sets its limits.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	file := c.file.Load()
	if err := file.check(); err != nil {
		return nil, err // SQLite would make a new file
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if file != nil {
		if err := file.opened(ctx, conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if session := c.session.Load(); session != nil {
		if err := run(ctx, conn, *session); err != nil {
			return nil, errors.Join(fmt.Errorf("setting the limits of a connection: %w", err), conn.Close())
		}
	}
	return conn, nil
}

// run runs a statement without arguments, and drops its result.
func run(ctx context.Context, conn driver.Conn, statement string) error {
	if e, ok := conn.(driver.ExecerContext); ok {
		if _, err := e.ExecContext(ctx, statement, nil); !errors.Is(err, driver.ErrSkip) {
			return err
		}
	}
	prepared, err := conn.Prepare(statement)
	if err != nil {
		return err
	}
	defer func() { _ = prepared.Close() }()
	e, ok := prepared.(driver.StmtExecContext)
	if !ok {
		return errors.New("the driver is too old: it executes no statement with a context")
	}
	_, err = e.ExecContext(ctx, nil)
	return err
}

// connector returns what makes the connections, as sql.Open does.
func (c Config) connector() (driver.Connector, error) {
	if c.Connector != nil {
		return c.Connector, nil
	}
	db, err := sql.Open(c.Driver, c.DSN)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	if d, ok := db.Driver().(driver.DriverContext); ok {
		return d.OpenConnector(c.DSN)
	}
	return dsnConnector{db.Driver(), c.DSN}, nil
}

// dsnConnector is for drivers that have no connectors.
type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }
