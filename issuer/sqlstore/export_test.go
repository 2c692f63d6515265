package sqlstore

import (
	"context"
	"database/sql"
	"time"
)

const (
	MaxPage     = maxPage
	SweepRows   = sweepRows
	SweepWrites = sweepWrites
	UsesInOne   = usesInOne
)

// Sweep deletes expired rows now.
func (s *Store) Sweep() { s.sweep() }

// WaitForSweep waits for a sweep that a write has started.
func (s *Store) WaitForSweep() { s.sweeper.done.Wait() }

// OpenWith opens a store as a release would that has one more migration.
func OpenWith(ctx context.Context, c Config, statements ...string) (*Store, error) {
	steps, err := readMigrations()
	if err != nil {
		return nil, err
	}
	return open(ctx, c, append(steps, statements))
}

// OpenAs opens a store as the release would whose tables have this version.
func OpenAs(ctx context.Context, c Config, version int) (*Store, error) {
	steps, err := readMigrations()
	if err != nil {
		return nil, err
	}
	return open(ctx, c, steps[:version])
}

// Statements returns the statements of each version.
func Statements() ([][]string, error) { return readMigrations() }

// SQL is a statement in the store's dialect.
func (s *Store) SQL(query string) string { return s.sql(query) }

// Pools returns the pools of the store's connections.
func (s *Store) Pools() map[string]*sql.DB {
	return map[string]*sql.DB{"requests": s.requests.db, "operator": s.operator.db, "follower": s.follower.db}
}

// ShiftClock sets this machine's wall clock, as the store sees it, ahead.
func (s *Store) ShiftClock(by time.Duration) { s.clock.shift.Store(int64(by)) }

// PassDay ends the day in which a clock that has jumped is not trusted.
func (s *Store) PassDay() {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.clock.judge.until = s.clock.judge.at
}
