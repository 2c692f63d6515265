package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/jwks"
)

// reseal seals the stored signing keys with the first key of KEY_ENCRYPTION_KEY.
func reseal(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		return errors.New("reseal takes nothing; see: clients help")
	}
	if os.Getenv("DATABASE_URL") == "" {
		return errors.New("DATABASE_URL is not set: reseal is for signing keys in PostgreSQL; files are not sealed")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	keys, place, done, err := keyStore(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := jwks.Reseal(ctx, keys); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	_, err = fmt.Fprintf(out, "%s: the signing keys are sealed with the first key of KEY_ENCRYPTION_KEY; no other one is needed for them\n", place)
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
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	store, place, done, err := keyStore(ctx)
	if err != nil {
		return err
	}
	defer done()
	if blob, err := store.Load(ctx); err != nil || blob == nil {
		return fmt.Errorf("%s: %w", place, cmp.Or(err, errors.New("there are no signing keys: set DATA_DIR or DATABASE_URL as the issuer has them")))
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
	_, err = fmt.Fprintf(out, "%s: the next signing key signs from %v\n", place, keys.Status().NextSigns)
	return err
}

// keyStore opens the key store where the issuer has it, and says where that is.
func keyStore(ctx context.Context) (keys jwks.KeyStore, place string, done func(), err error) {
	if os.Getenv("DATABASE_URL") == "" {
		path := filepath.Join(dataDir(), "keys.json")
		return jwks.File(path), path, func() {}, nil
	}
	issuer := os.Getenv("ISSUER")
	if issuer == "" {
		return nil, "", nil, errors.New("ISSUER is not set: write the URL that the issuer prints at start")
	}
	keks, err := service.KeyEncryptionKeys()
	if err != nil {
		return nil, "", nil, err
	}
	store, place, err := open(ctx, answerTimeout)
	if err != nil {
		return nil, "", nil, err
	}
	if keys, err = store.KeyStore(issuer, keks...); err != nil {
		return nil, "", nil, errors.Join(err, store.Close())
	}
	return keys, place, func() { _ = store.Close() }, nil
}
