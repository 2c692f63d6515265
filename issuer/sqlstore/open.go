package sqlstore

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/semaphore"
)

// Config is what [Open] opens: a database by Driver and DSN, or by Connector.
type Config struct {
	// Driver is the registered name of a driver, such as "pgx", and DSN is its data
	// source name, as for sql.Open. The program imports the driver, except SQLite's,
	// which package sqlite imports.
	Driver, DSN string

	// Connector makes the connections instead. [Store.Close] closes it if it is an
	// io.Closer.
	Connector driver.Connector

	// MaxConns is how many connections the store opens at most. It keeps idle ones
	// open. Two of them are for administration and keys, and one for following the
	// feed, so that a flood of requests delays none of these. Default 16, at least 4.
	MaxConns int

	// Name separates several issuers in one database: their tables are m2m_NAME_….
	// It has 1 to 20 characters of a to z, 0 to 9 and _. Default: "", for m2m_….
	Name string

	// NoMigrate leaves the tables as they are. Open then refuses the tables of an
	// older release. Update them in a step of the deployment that runs Open without
	// NoMigrate, or [Store.Migrate].
	NoMigrate bool
}

const (
	defaultConns  = 16
	operatorConns = 2
	followerConns = 1
	reservedConns = operatorConns + followerConns
	minConns      = reservedConns + 1

	// feedWriters is how many writers of a pool may wait for the last row of the feed
	// at once: one that holds it, and the next. More would take connections from
	// readers, and would queue in the database ahead of administration.
	feedWriters = 2

	// connLifetime is how long a connection is used, so that a failover or a new
	// address of the database is noticed.
	connLifetime = 30 * time.Minute
)

// Open opens a PostgreSQL or SQLite database, and finds out itself which of them it is.
// It creates or updates the tables, on PostgreSQL in the first schema of the
// connection's search_path. Any number of replicas may call Open at once. Tables of a
// newer release that this one cannot read are an error; see "Upgrades" above.
//
// On PostgreSQL every connection sets limits that the server enforces: an idle
// transaction ends after 1.5 s, a wait for a lock after 2 s, and a statement after
// 2.5 s (10 s for administration). So a process that is frozen or disconnected holds up
// no other for longer than that. A proxy in between must not mix the settings of
// connections: session pooling does not, transaction pooling does; see "PgBouncer"
// above.
//
// A SQLite database must be in a file, and its data source name must set busy_timeout on
// every connection, which Open checks on one. When the file or its -wal is deleted or
// replaced while it is open, every call is an error.
//
// Not checked: that a commit is durable. On PostgreSQL leave synchronous_commit
// on. On SQLite set synchronous to FULL, as package sqlite does. A replica of
// PostgreSQL that only reads cannot be used, nor can a proxy that spreads reads
// over such replicas.
func Open(ctx context.Context, c Config) (*Store, error) {
	steps, err := readMigrations()
	if err != nil {
		return nil, err
	}
	return open(ctx, c, steps)
}

// open opens the database with these migrations.
func open(ctx context.Context, c Config, steps [][]string) (*Store, error) {
	c.MaxConns = cmp.Or(c.MaxConns, defaultConns)
	switch {
	case c.Connector == nil && (c.Driver == "" || c.DSN == ""):
		return nil, errors.New(`sqlstore: Config names no database: write Driver and DSN, such as "pgx" and "postgres://user@host/name", or Connector`)
	case c.Connector != nil && (c.Driver != "" || c.DSN != ""):
		return nil, errors.New("sqlstore: Config.Connector is set, and Driver or DSN too: write one or the other")
	case c.MaxConns < minConns:
		return nil, fmt.Errorf("sqlstore: Config.MaxConns is %d: write at least %d, or 0 for %d", c.MaxConns, minConns, defaultConns)
	}
	prefix, err := c.prefix()
	if err != nil {
		return nil, err
	}
	made, err := c.connector()
	if err != nil {
		return nil, wrap("opening the database", err)
	}
	s := &Store{
		requests: newPool(&connector{Connector: made}, c.MaxConns-reservedConns),
		operator: newPool(&connector{Connector: made}, operatorConns),
		follower: newPool(&connector{Connector: made}, followerConns),
		made:     made,
		steps:    steps,
		writer:   semaphore.NewWeighted(1),
		sweeper:  sweeper{closed: make(chan struct{}), covered: map[string]int64{}},
	}
	if err := s.begin(ctx, prefix, c.NoMigrate); err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	if !s.sqlite {
		s.requests.connector.limit(statementTimeout)
		s.follower.connector.limit(statementTimeout)
		s.operator.connector.limit(operatorTimeout)
		s.operator.dropIdle() // which has no limits: it has migrated
	}
	return s, nil
}

// begin finds out which database it is, migrates its tables, and reads its clock.
func (s *Store) begin(ctx context.Context, prefix string, noMigrate bool) (err error) {
	if s.sqlite, err = findDialect(ctx, s.operator.db); err != nil {
		return err
	}
	s.health.status.Dialect, s.dialect = "PostgreSQL", newDialect(onPostgres, prefix)
	if s.sqlite {
		s.health.status.Dialect, s.dialect = "SQLite", newDialect(onSQLite, prefix)
		if s.file, err = findFile(ctx, s.operator.db); err != nil {
			return err
		}
		for _, p := range []*pool{s.requests, s.operator, s.follower} {
			p.connector.file.Store(s.file)
		}
	}
	s.limitWriters()
	if err := s.migrate(ctx, noMigrate); err != nil {
		return err
	}
	if s.sqlite {
		if err := s.file.keep(ctx, s.made, s.sql("SELECT version FROM m2m_schema LIMIT 1")); err != nil {
			return wrap("opening the database's file", err)
		}
	} else if err := s.readMode(ctx); err != nil {
		return wrap("asking whether the database takes writes", err)
	}
	return s.compareClocks(ctx)
}

// limitWriters sets how many may write at once. On PostgreSQL all entries of the feed
// wait for one row, so only a few connections of a pool may wait for it. SQLite has one
// writer, so each pool sends one write at a time, and an operator waits for one request
// at most. On SQLite readers also leave one connection free, so that the writer never
// waits for them.
func (s *Store) limitWriters() {
	for _, p := range []*pool{s.requests, s.operator} {
		if s.sqlite {
			p.writers = semaphore.NewWeighted(1)
			p.feed = p.writers
			p.readers = semaphore.NewWeighted(max(int64(p.conns)-1, 1))
			continue
		}
		p.writers = semaphore.NewWeighted(int64(p.conns))
		p.feed = semaphore.NewWeighted(feedWriters)
	}
	for _, p := range []*pool{s.requests, s.operator, s.follower} {
		p.remote = !s.sqlite
	}
}

// closePools closes the connections, and a connector that can be closed once.
func (s *Store) closePools() error {
	err := errors.Join(s.follower.db.Close(), s.operator.db.Close(), s.requests.db.Close())
	s.closing.Do(func() {
		err = errors.Join(err, s.file.close())
		if c, ok := s.made.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
	})
	return err
}
