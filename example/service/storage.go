package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// DatabaseNamed returns an error when there are settings of a database and no
// DATABASE_URL: where that was lost, a new and empty SQLite database must not take
// its place.
func DatabaseNamed() error {
	if os.Getenv("DATABASE_URL") != "" {
		return nil
	}
	for _, name := range []string{"KEY_ENCRYPTION_KEY", "ISSUER_NAME"} {
		if os.Getenv(name) != "" {
			return fmt.Errorf("%s is set, and DATABASE_URL is not: set DATABASE_URL, or for SQLite leave %[1]s out", name)
		}
	}
	return nil
}

// CheckStorage returns an error when the settings name no storage for certain.
func (s Settings) CheckStorage() error {
	if s.DatabaseURL != "" || !s.NoMigrate {
		return DatabaseNamed()
	}
	path := filepath.Join(s.DataDir, "issuer.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s, and NO_MIGRATE is set: set DATA_DIR or DATABASE_URL, or make it: clients migrate", path)
	}
	return DatabaseNamed()
}

// OldTables says in the words of the examples what to do about tables that are
// missing or older than this release needs.
func OldTables(err error) error {
	if !errors.Is(err, sqlstore.ErrOldTables) {
		return err
	}
	right := "ISSUER_NAME is not set: is that right?"
	if name := os.Getenv("ISSUER_NAME"); name != "" {
		right = fmt.Sprintf("ISSUER_NAME is %q: is that right?", name)
	}
	return fmt.Errorf("%s If it is, make the tables or bring them up to date with: clients migrate (or start an issuer without NO_MIGRATE): %w", right, err)
}
