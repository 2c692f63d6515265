package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// DatabaseNamed returns an error when there are settings of a database and no
// DATABASE_URL: if that was lost, a new and empty SQLite database must not replace it.
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

// CheckStorage returns an error when the settings may name the wrong storage.
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

// OpenToRead opens the store of clients and that of keys where a program with these
// settings has them. It makes no file, changes no table and seals nothing again. The
// program imports the drivers "pgx" and "sqlite".
func OpenToRead(ctx context.Context, s Settings) (*sqlstore.Store, jwks.KeyStore, error) {
	if err := s.CheckStorage(); err != nil {
		return nil, nil, err
	}
	if s.DatabaseURL != "" {
		return openDatabaseToRead(ctx, s)
	}
	path, err := filepath.Abs(filepath.Join(s.DataDir, "issuer.db"))
	if err != nil {
		return nil, nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "mode=rw&_pragma=busy_timeout(10000)"}
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "sqlite", DSN: name.String(), NoMigrate: true})
	return store, jwks.File(filepath.Join(s.DataDir, "keys.json")), OldTables(err)
}

// openDatabaseToRead opens PostgreSQL. The store of keys is that of the one
// key-encryption key that opens it: a list would seal it again as it is read.
func openDatabaseToRead(ctx context.Context, s Settings) (*sqlstore.Store, jwks.KeyStore, error) {
	keyEncryptionKeys, err := KeyEncryptionKeys()
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: s.DatabaseURL, Name: s.Name, NoMigrate: true})
	if err != nil {
		return nil, nil, OldTables(err)
	}
	var keyStore jwks.KeyStore
	for _, one := range keyEncryptionKeys {
		if keyStore, err = store.KeyStore(s.Issuer, one); err != nil {
			return nil, nil, errors.Join(err, store.Close())
		}
		if _, err := keyStore.Load(ctx); err == nil {
			break
		}
	}
	return store, keyStore, nil
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
