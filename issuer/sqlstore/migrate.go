package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// migrations are applied in the order of their names, each once. After a release they are
// never edited. They only add, so that replicas of an older release work with the new
// tables.
//
//go:embed migrations/*.sql
var migrations embed.FS

// readableFrom is the oldest version whose release can work with the tables of this
// release. A migration that only adds does not change it. One that removes something
// raises it to the first version whose release does not need that.
const readableFrom = 1

// Migrate updates the tables, as [Open] does. Call it after a backup of an older release
// was restored while the program was running. It does not change tables of a newer
// release.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.ready(); err != nil {
		return wrap("migrating the schema", err)
	}
	return s.migrate(ctx, false)
}

// ErrOldTables is returned by [Open] with Config.NoMigrate when the tables are missing or
// older than this release needs.
var ErrOldTables = errors.New("the schema is missing or older than this release needs")

// isMissing reports whether the error is that there is no such table.
func isMissing(err error) bool {
	return sqlState(err) == "42P01" || sqliteCode(err) != 0 && strings.Contains(err.Error(), "no such table")
}

// migrate updates the tables in one transaction, for which other processes wait. On
// PostgreSQL a process that is frozen in it loses the transaction after 1.5 s. One that
// waits for a lock on a table makes others queue behind it, so it gives up after 2 s and
// tries again.
func (s *Store) migrate(ctx context.Context, never bool) error {
	steps := s.steps
	// A process that has nothing to migrate needs no permission to. If this failed
	// for another reason than a missing or old table, the error returns below.
	var version, from int
	err := s.row(ctx, s.operator, latestSchema, nil, &version, &from)
	switch {
	case err == nil && version >= len(steps):
		err = readable(version, from, len(steps))
		s.migrated(version, len(steps), false)
		return wrap("reading the schema", err)
	case never:
		switch {
		case err == nil:
			return fmt.Errorf("sqlstore: %w: it has version %d, this release needs %d, and Config.NoMigrate is set: run Open without it once, as a step of the deployment", ErrOldTables, version, len(steps))
		case isMissing(err):
			return fmt.Errorf("sqlstore: %w: there is no %s, and Config.NoMigrate is set: is Config.Name right?", ErrOldTables, s.sql("m2m_schema"))
		}
		return wrap("reading the schema, which Config.NoMigrate leaves as it is", err)
	}
	var before int
	err = s.repeat(ctx, s.operator, s.operator.writers, "migrating", func() error {
		return s.transact(ctx, s.operator, func(t *tx) (err error) {
			before, version, err = migrateTo(ctx, t, steps)
			return err
		})
	})
	s.migrated(version, len(steps), err == nil && before == 0)
	return wrap("migrating the schema", err)
}

const latestSchema = "SELECT version, readable_from FROM m2m_schema ORDER BY version DESC LIMIT 1"

// migrated records the version of the tables for Status, and clears errors: the missing
// tables of a new database are not an error.
func (s *Store) migrated(version, release int, made bool) {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	st := &s.health.status
	st.Schema, st.Release, st.New = version, release, st.New || made
	st.LastError, st.LastErrorAt, st.WriteError = nil, time.Time{}, nil
	clear(s.health.writes)
}

// readable returns an error when the tables are too new for this release.
func readable(version, from, release int) error {
	switch {
	case version <= release || from > 0 && from <= release:
		return nil
	case from == 0:
		from = version
	}
	return fmt.Errorf("it has version %d, which can be read from version %d on, and this release knows version %d: run a release that knows version %d or newer", version, from, release, from)
}

// migrateTo applies the steps and returns the versions before and after.
func migrateTo(ctx context.Context, t *tx, steps [][]string) (before, version int, err error) {
	if !t.store.sqlite { // where BEGIN IMMEDIATE has locked already
		for _, statement := range []string{limitIdle, lockPostgres, limitLocks} {
			if err := t.exec(ctx, statement); err != nil {
				return 0, 0, err
			}
		}
	}
	if err := t.exec(ctx, "CREATE TABLE IF NOT EXISTS m2m_schema (version BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL, readable_from BIGINT NOT NULL DEFAULT 0)"); err != nil {
		return 0, 0, err
	}
	if err := t.row(ctx, "SELECT COALESCE(MAX(version), 0) FROM m2m_schema").Scan(&before); err != nil {
		return 0, 0, err
	}
	version = before
	if version >= len(steps) {
		var from int
		if err := t.row(ctx, latestSchema).Scan(&version, &from); err != nil {
			return 0, 0, err
		}
		return before, version, readable(version, from, len(steps))
	}
	for version < len(steps) {
		for _, statement := range steps[version] {
			if err := t.exec(ctx, statement); err != nil {
				return before, version, fmt.Errorf("version %d: %w", version+1, err)
			}
		}
		version++
		if err := t.exec(ctx, "INSERT INTO m2m_schema (version, applied_at, readable_from) VALUES ($1, NOW_MS, $2)", version, readableFrom); err != nil {
			return before, version, err
		}
	}
	return before, version, nil
}

// readMigrations returns the statements of each version, from version 1.
func readMigrations() ([][]string, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("sqlstore: reading migrations: %w", err)
	}
	slices.Sort(names)
	steps := make([][]string, 0, len(names))
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: reading migrations: %w", err)
		}
		// Not every driver takes several statements at once.
		statements := strings.Split(strings.TrimSpace(string(text)), ";\n")
		statements[len(statements)-1] = strings.TrimSuffix(statements[len(statements)-1], ";")
		steps = append(steps, statements)
	}
	return steps, nil
}
