package sqlstore

import (
	"context"
	"embed"
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

// migrate brings the tables up to date, in one transaction that other processes
// wait for.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := readMigrations()
	if err != nil {
		return err
	}
	// A process that need not change anything need not be allowed to. A failure
	// shows again below, if it was not that the table is missing.
	var version int
	if err := s.row(ctx, s.operator, "SELECT MAX(version) FROM m2m_schema", nil, &version); err == nil && version == len(steps) {
		return nil
	}
	return wrap("migrating the schema", s.repeat(ctx, s.operator, s.operator.writers, func() error {
		return s.transact(ctx, s.operator, func(t *tx) error { return migrateTo(ctx, t, steps) })
	}))
}

func migrateTo(ctx context.Context, t *tx, steps [][]string) error {
	if !t.store.sqlite { // where BEGIN IMMEDIATE has locked already
		if err := t.exec(ctx, lockPostgres); err != nil {
			return err
		}
	}
	if err := t.exec(ctx, "CREATE TABLE IF NOT EXISTS m2m_schema (version BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"); err != nil {
		return err
	}
	var version int
	if err := t.row(ctx, "SELECT COALESCE(MAX(version), 0) FROM m2m_schema").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("it has version %d, and this release knows %d: run the release that wrote it, or a newer one", version, len(steps))
	}
	for version < len(steps) {
		for _, statement := range steps[version] {
			if err := t.exec(ctx, statement); err != nil {
				return fmt.Errorf("version %d: %w", version+1, err)
			}
		}
		version++
		if err := t.exec(ctx, "INSERT INTO m2m_schema (version, applied_at) VALUES ($1, $2)", version, millis(time.Now())); err != nil {
			return err
		}
	}
	return nil
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
