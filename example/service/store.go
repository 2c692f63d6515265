package service

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver is the user's choice; the library names none for PostgreSQL

	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// Storage is where clients, revocations and signing keys are kept: PostgreSQL if
// DATABASE_URL names one, to be shared by replicas, else files in DATA_DIR.
type Storage struct {
	*sqlstore.Store
	Keys jwks.KeyStore
}

// OpenStorage opens it, and makes what is not there yet.
func OpenStorage(ctx context.Context) (*Storage, error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return openPostgres(ctx, url)
	}
	dir := Env("DATA_DIR", "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, filepath.Join(dir, "issuer.db"))
	if err != nil {
		return nil, err
	}
	return &Storage{Store: store, Keys: jwks.File(filepath.Join(dir, "keys.json"))}, nil
}

func openPostgres(ctx context.Context, url string) (*Storage, error) {
	kek, err := keyEncryptionKey(url)
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: url})
	if err != nil {
		return nil, err
	}
	keys, err := store.KeyStore(kek)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &Storage{Store: store, Keys: keys}, nil
}

// keyEncryptionKey seals the signing keys in the database, so that a copy of it
// cannot sign. Replicas need the same one.
func keyEncryptionKey(databaseURL string) ([]byte, error) {
	if text := os.Getenv("KEY_ENCRYPTION_KEY"); text != "" {
		kek, err := hex.DecodeString(text)
		if err != nil || len(kek) != 32 {
			return nil, errors.New("KEY_ENCRYPTION_KEY: write 64 hex digits, such as `openssl rand -hex 32` prints")
		}
		return kek, nil
	}
	log.Print("KEY_ENCRYPTION_KEY is not set: the key that seals the signing keys is derived from DATABASE_URL; set it in production")
	return hkdf.Key(sha256.New, []byte(databaseURL), nil, "m2m example key-encryption key", 32)
}

// FailedAttempts is issuer.Config's, from FAILED_ATTEMPTS, where 0 is off.
func FailedAttempts() (int, error) {
	text := os.Getenv("FAILED_ATTEMPTS")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("FAILED_ATTEMPTS=%q: write a number, 0 for no limit", text)
	}
	if n == 0 {
		return -1, nil
	}
	return n, nil
}
