package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
)

// Config is what [Open] opens: a database by Driver and DSN, or by Connector.
type Config struct {
	// Driver is the name that a driver is registered by, such as "pgx", and DSN is
	// its data source name, as for sql.Open. Import the driver; package sqlite
	// brings its own.
	Driver, DSN string

	// Connector makes the connections instead. [Store.Close] closes it if it is an
	// io.Closer.
	Connector driver.Connector

	// MaxConns is how many connections the store opens at most, and keeps open.
	// Three of them are for administration, for keys and for following the feed, so
	// that a flood of requests delays none of these. Default 16, at least 4.
	MaxConns int
}

const (
	defaultConns  = 16
	operatorConns = 3
	minConns      = operatorConns + 1

	// connLifetime is how long a connection is used, so that a failover or a new
	// address of the database is noticed.
	connLifetime = 30 * time.Minute
)

// Open opens a database, SQLite or PostgreSQL, whichever it turns out to be, and
// creates or updates its tables in the schema that is first in the connection's
// search_path. Any number of replicas may do so at once. It is an error if the
// tables are of a newer release than this one.
//
// A database opened for SQLite must set busy_timeout on every connection, which
// Open checks on one.
//
// Not checked: that a commit is durable. On PostgreSQL leave synchronous_commit
// on; on SQLite set synchronous to FULL, as package sqlite does. A replica of
// PostgreSQL that only reads cannot be used, nor can a proxy that spreads reads
// over such.
func Open(ctx context.Context, c Config) (*Store, error) {
	c.MaxConns = cmp.Or(c.MaxConns, defaultConns)
	switch {
	case c.Connector == nil && (c.Driver == "" || c.DSN == ""):
		return nil, errors.New(`sqlstore: Config names no database: write Driver and DSN, such as "pgx" and "postgres://user@host/name", or Connector`)
	case c.Connector != nil && (c.Driver != "" || c.DSN != ""):
		return nil, errors.New("sqlstore: Config.Connector is set, and Driver or DSN too: write one or the other")
	case c.MaxConns < minConns:
		return nil, fmt.Errorf("sqlstore: Config.MaxConns is %d: write at least %d, or 0 for %d", c.MaxConns, minConns, defaultConns)
	}
	s := &Store{writer: semaphore.NewWeighted(1), sweeper: sweeper{closed: make(chan struct{})}}
	var err error
	if s.requests, err = c.pool(c.MaxConns-operatorConns, false); err != nil {
		return nil, err
	}
	if s.operator, err = c.pool(operatorConns, true); err != nil {
		return nil, errors.Join(err, s.requests.db.Close())
	}
	if s.sqlite, err = findDialect(ctx, s.requests.db); err == nil {
		s.limitWriters(c.MaxConns)
		err = s.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.operator.db.Close(), s.requests.db.Close())
	}
	return s, nil
}

// pool is a set of connections, of which writers take a part.
type pool struct {
	db      *sql.DB
	writers *semaphore.Weighted
}

// limitWriters leaves the follower a connection while administration waits for a
// lock. On SQLite, which has one writer, each pool sends one at a time, so that an
// operator waits for one request and not for all of them.
func (s *Store) limitWriters(maxConns int) {
	requests, operator := maxConns-operatorConns, operatorConns-1
	if s.sqlite {
		requests, operator = 1, 1
	}
	s.requests.writers = semaphore.NewWeighted(int64(requests))
	s.operator.writers = semaphore.NewWeighted(int64(operator))
}

// pool opens connections when they are needed. Of two pools on one connector the
// first closes it.
func (c Config) pool(conns int, second bool) (*pool, error) {
	var db *sql.DB
	switch {
	case c.Connector == nil:
		var err error
		if db, err = sql.Open(c.Driver, c.DSN); err != nil {
			return nil, wrap("opening the database", err)
		}
	case second:
		db = sql.OpenDB(struct{ driver.Connector }{c.Connector}) // hides io.Closer
	default:
		db = sql.OpenDB(c.Connector)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxLifetime(connLifetime)
	return &pool{db: db}, nil
}
