package sqlstore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Store is a [registry.Manager] on a database. It is safe for concurrent use, by
// any number of processes. Make one with [Open]; every method of the zero value
// returns an error.
type Store struct {
	requests *pool // for the requests of clients
	operator *pool // for administration and keys
	follower *pool // for following the feed
	made     driver.Connector
	closing  sync.Once // of made
	sqlite   bool
	dialect  *strings.Replacer
	file     *file      // SQLite's
	steps    [][]string // the migrations

	clock  clock
	health health

	// writer lets one goroutine write at a time, on SQLite. Goroutines then queue
	// instead of polling for the lock.
	writer *semaphore.Weighted

	sweeper sweeper
}

var (
	_ registry.Manager         = (*Store)(nil)
	_ registry.UseRecorder     = (*Store)(nil)
	_ registry.NetworkRecorder = (*Store)(nil)
)

var errNotOpen = errors.New("the store was not opened: write sqlstore.Open or sqlite.Open")

// ready returns an error for a store that was not made by Open.
func (s *Store) ready() error {
	if s == nil || s.requests == nil {
		return errNotOpen
	}
	return nil
}

// Close stops the removal of expired rows, and closes the connections. It waits at most
// 5 s for a removal that is under way. Acknowledged writes are durable without it.
func (s *Store) Close() error {
	if err := s.ready(); err != nil {
		return wrap("closing the database", err)
	}
	s.sweeper.close()
	return wrap("closing the database", s.closePools())
}

// wrap says what failed.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlstore: %s: %w", doing, err)
}
