package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", for DATABASE_URL

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// open opens the store where the issuer has it. It makes no new one and changes no
// tables: a wrong setting must not pass for an issuer without clients.
func open(ctx context.Context) (*sqlstore.Store, error) {
	if os.Getenv("DATABASE_URL") != "" {
		return openDatabase(ctx, true)
	}
	path := filepath.Join(dataDir(), "issuer.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: set DATA_DIR or DATABASE_URL as the issuer has them, or make it: clients migrate", path)
	}
	return sqlite.Open(ctx, path)
}

func openDatabase(ctx context.Context, noMigrate bool) (*sqlstore.Store, error) {
	return sqlstore.Open(ctx, sqlstore.Config{
		Driver: "pgx", DSN: os.Getenv("DATABASE_URL"), MaxConns: 4, Name: os.Getenv("ISSUER_NAME"), NoMigrate: noMigrate,
	})
}

func dataDir() string { return cmp.Or(os.Getenv("DATA_DIR"), "data") }

// migrate brings the tables up to date, or makes them.
func migrate(ctx context.Context, args []string, out io.Writer) (err error) {
	if len(args) > 0 {
		return errors.New("migrate takes nothing; see: clients help")
	}
	var store *sqlstore.Store
	if os.Getenv("DATABASE_URL") != "" {
		store, err = openDatabase(ctx, false)
	} else if err = os.MkdirAll(dataDir(), 0o700); err == nil {
		store, err = sqlite.Open(ctx, filepath.Join(dataDir(), "issuer.db"))
	}
	if err != nil {
		return err
	}
	defer store.Close()
	s := store.Status()
	what := "are of version"
	if s.New {
		what = "were made, in version"
	}
	_, err = fmt.Fprintf(out, "the tables %s %d\n", what, s.Schema)
	return err
}

// reseal seals the stored signing keys with the first key of KEY_ENCRYPTION_KEY.
func reseal(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		return errors.New("reseal takes nothing; see: clients help")
	}
	if os.Getenv("DATABASE_URL") == "" {
		return errors.New("reseal wants DATABASE_URL: files are not sealed")
	}
	keys, done, err := keyStore(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := jwks.Reseal(ctx, keys); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "the signing keys are sealed with the first key of KEY_ENCRYPTION_KEY; no other one is needed for them")
	return err
}

// adoptKeys moves a timetable that a wrong clock wrote to this machine's clock.
func adoptKeys(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		return errors.New("adopt-keys takes nothing; see: clients help")
	}
	set, err := service.Load(os.Getenv("ISSUER")) // for the timetable that the issuer has
	if err != nil {
		return err
	}
	store, done, err := keyStore(ctx)
	if err != nil {
		return err
	}
	defer done()
	if blob, err := store.Load(ctx); err != nil || blob == nil {
		return cmp.Or(err, errors.New("there are no signing keys: set DATA_DIR or DATABASE_URL as the issuer has them"))
	}
	set.Policy.Quiet = true // what is wrong is about to be put right
	keys, err := jwks.Open(ctx, store, set.Policy)
	if err != nil {
		return err
	}
	defer keys.Close()
	if err := keys.Adopt(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "the next signing key signs from", keys.Status().NextSigns)
	return err
}

// keyStore opens the key store where the issuer has it.
func keyStore(ctx context.Context) (keys jwks.KeyStore, done func(), err error) {
	if os.Getenv("DATABASE_URL") == "" {
		return jwks.File(filepath.Join(dataDir(), "keys.json")), func() {}, nil
	}
	issuer := os.Getenv("ISSUER")
	if issuer == "" {
		return nil, nil, errors.New("set DATABASE_URL, ISSUER and KEY_ENCRYPTION_KEY as the issuer has them")
	}
	keks, err := service.KeyEncryptionKeys()
	if err != nil {
		return nil, nil, err
	}
	store, err := open(ctx)
	if err != nil {
		return nil, nil, err
	}
	if keys, err = store.KeyStore(issuer, keks...); err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return keys, func() { _ = store.Close() }, nil
}
