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

// migrations are applied in the order of their names, each once. They are never
// edited after a release, and only add: while replicas are replaced, the old
// ones work on with the new tables.
//
//go:embed migrations/*.sql
var migrations embed.FS

// readableFrom is the oldest version whose release can work with the tables as this
// release leaves them. A migration that only adds does not change it; one that takes
// something away raises it to the first version whose release does without.
const readableFrom = 1

// Migrate brings the tables up to date, as [Open] does: after a backup of an older
// release was restored while the program ran. Tables of a newer release are left as
// they are.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.ready(); err != nil {
		return wrap("migrating the schema", err)
	}
	return s.migrate(ctx, false)
}

// ErrOldTables says that the tables are missing, or older than this release needs,
// and Config.NoMigrate is set.
var ErrOldTables = errors.New("the schema is missing or older than this release needs")

// isMissing reports whether the error is that there is no such table.
func isMissing(err error) bool {
	return sqlState(err) == "42P01" || sqliteCode(err) != 0 && strings.Contains(err.Error(), "no such table")
}

// migrate brings the tables up to date, in one transaction that other processes
// wait for. A process that is frozen in it, on PostgreSQL, loses it after 1.5 s, and one
// that waits for a lock on a table, so that others queue behind it, gives up after 2 s
// and tries again.
func (s *Store) migrate(ctx context.Context, never bool) error {
	steps := s.steps
	// A process that need not change anything need not be allowed to. A failure
	// shows again below, if it was not that the table is missing or older.
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

// migrated notes the version of the tables for Status, and forgets errors: that a
// new database has no tables is none.
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

// migrateTo returns the versions before and after it.
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

// readMigrations gives the statements of each version, the first being 1.
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
