package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Store is an [registry.Store] on a database, and the registry of the clients in
// it. It is safe for concurrent use, by any number of processes.
type Store struct {
	db     *sql.DB
	sqlite bool
	owned  bool // Close closes db too

	// writer is full while somebody writes, on SQLite: within a process they
	// then queue instead of polling for the lock.
	writer chan struct{}

	sweeper sweeper
}

var _ registry.Store = (*Store)(nil)

// New makes a store of a database, SQLite or PostgreSQL, whichever it turns out
// to be, and creates or updates its tables in the schema that is first in the
// connection's search_path. Any number of replicas may do so at once. It is an
// error if the tables are of a newer release than this one.
//
// Connections are the program's to limit (SetMaxOpenConns) and to close, after
// [Store.Close]. A database opened for SQLite must set busy_timeout on every
// connection, which New checks on one.
//
// Not checked: that a commit is durable. On PostgreSQL leave synchronous_commit
// on; on SQLite set synchronous to FULL, as package sqlite does. A replica of
// PostgreSQL that only reads cannot be used, nor can a proxy that spreads reads
// over such.
func New(ctx context.Context, db *sql.DB) (*Store, error) {
	if db == nil {
		return nil, fmt.Errorf("sqlstore: New needs a database: write what sql.Open returned")
	}
	sqlite, err := findDialect(ctx, db)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, sqlite: sqlite, writer: make(chan struct{}, 1), sweeper: sweeper{closed: make(chan struct{})}}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Adopt is [New] for a database that nobody else uses: [Store.Close] closes it
// too. After an error it is still the caller's.
func Adopt(ctx context.Context, db *sql.DB) (*Store, error) {
	s, err := New(ctx, db)
	if err != nil {
		return nil, err
	}
	s.owned = true
	return s, nil
}

// Close stops the removal of expired rows, waiting for a step under way (5 s at
// most), and closes the database if the store was made by [Adopt] or package sqlite. What
// has been written is safe without it.
func (s *Store) Close() error {
	s.sweeper.close()
	if !s.owned {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("sqlstore: closing the database: %w", err)
	}
	return nil
}

// failed says what could not be done. A method's own errors, and the issuer's,
// pass through it as well.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlstore: %s: %w", doing, err)
}
