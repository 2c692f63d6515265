package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// All SQL here is written for PostgreSQL, in the part of it that SQLite knows too. Only
// this file and change.go know where the two differ.
//
// NOW_MS and NOW_US are the database's clock in milliseconds and microseconds
// since 1970. (SELECT NOW_MS) is read once in a statement, which an index needs.
// GONE_MS is the time for deletions, which cannot be undone: a clock that has jumped
// ahead does not move it. KEPT_MS is the time for what must last: a clock that has jumped
// back does not move it. See clock.

// onSQLite replaces what SQLite spells differently. It has one writer at a time, so it
// needs no row locks. It accepts any name of a type, BYTEA too.
var onSQLite = []string{
	`$`, `?`,
	` COLLATE "C"`, ` COLLATE BINARY`,
	` FOR UPDATE SKIP LOCKED`, ``,
	` FOR UPDATE`, ``,
}

const postgresMillis = `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)`

var onPostgres = []string{
	`NOW_MS`, postgresMillis,
	`GONE_MS`, `LEAST(` + postgresMillis + `, LEAST_BOUND)`,
	`KEPT_MS`, `GREATEST(` + postgresMillis + `, MOST_BOUND)`,
	`NOW_US`, `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`,
}

// newDialect returns a replacer that spells statements for the database. The names of its
// tables begin with the prefix.
func newDialect(spelling []string, prefix string) *strings.Replacer {
	return strings.NewReplacer(append([]string{tables, prefix}, spelling...)...)
}

// begin, per dialect. On SQLite the transaction locks the database before it reads. On
// PostgreSQL each statement sees what was committed before it.
const (
	beginSQLite   = "BEGIN IMMEDIATE"
	beginPostgres = "BEGIN ISOLATION LEVEL READ COMMITTED"
)

// lockPostgres makes one process migrate at a time. The number is arbitrary.
const lockPostgres = "SELECT pg_advisory_xact_lock(7237953212437551469)"

// The limits of a migration, which PostgreSQL enforces until it ends. A process that waits
// for others to migrate has a limit of idle time only, and then one for locks too.
var (
	limitIdle  = fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", idleInTransaction.Milliseconds())
	limitLocks = fmt.Sprintf("SET LOCAL lock_timeout = %d", lockTimeout.Milliseconds())
)

// findDialect asks the database whether it is SQLite.
func findDialect(ctx context.Context, db *sql.DB) (sqlite bool, err error) {
	var version string
	errPostgres := db.QueryRowContext(ctx, "SELECT version()").Scan(&version)
	if errPostgres == nil {
		if !strings.HasPrefix(version, "PostgreSQL ") {
			return false, fmt.Errorf("sqlstore: the database is %q: use PostgreSQL or SQLite", version)
		}
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("sqlstore: asking the database what it is: %w", errors.Join(err, errPostgres))
	}
	if errSQLite := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); errSQLite != nil {
		return false, fmt.Errorf("sqlstore: asking the database what it is: %w", errors.Join(errPostgres, errSQLite))
	}
	var busyTimeout int
	if err := db.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&busyTimeout); err != nil {
		return false, fmt.Errorf("sqlstore: reading PRAGMA busy_timeout: %w", err)
	}
	if busyTimeout == 0 {
		return false, errors.New("sqlstore: the SQLite database has no busy_timeout, so a second writer would fail instead of wait: open it with package sqlite, or set the pragma for every connection in the driver's data source name")
	}
	return true, nil
}

// sql returns a statement in the store's dialect.
func (s *Store) sql(query string) string {
	query = s.dialect.Replace(query)
	if s.sqlite {
		return s.clock.timeOf(query)
	}
	return query
}

// statement returns a statement in the store's dialect, and its arguments.
func (s *Store) statement(query string, args []any) (string, []any) {
	query = s.sql(query)
	if s.sqlite {
		return query, args
	}
	return s.clock.boundOf(query, args)
}

// retryable reports whether the database itself says that the statement, which it
// has undone, may succeed if it is repeated: PostgreSQL's serialization_failure,
// deadlock_detected, and lock_not_available, which ends the wait for a session that the
// server is about to end. Drivers share the method, not the type.
func retryable(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "55P03":
		return true
	}
	return false
}

func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

// storable reports whether PostgreSQL stores the text unchanged.
func storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// millis returns a time as it is stored, rounded up so that nothing expires early. Zero
// stays zero, and times before 1970 become 1.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, t.Add(time.Millisecond-time.Nanosecond).UnixMilli())
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
