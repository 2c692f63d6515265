package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/example/clients/tool"
	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/jwks"
)

var resealVerb = tool.Verb{
	Group: tool.GroupStorage, Name: "reseal", Summary: "seal the signing keys with the first key of KEY_ENCRYPTION_KEY", NoStorage: true, NoJSON: true,
	Text: `For signing keys in PostgreSQL: seals them with the first key of KEY_ENCRYPTION_KEY,
after which no other is needed. ISSUER is the URL that the issuer prints at start.`,
	Example: "ISSUER=https://auth.example.com clients reseal",
	Setup:   operation(reseal),
}

var adoptVerb = tool.Verb{
	Group: tool.GroupStorage, Name: "adopt-keys", Summary: "put the keys' timetable right, after a wrong clock wrote it", NoStorage: true, NoJSON: true,
	Text: `Moves the timetable of the signing keys to this machine's clock. ISSUER is the URL that
the issuer prints at start; with SQLite it may be left out.`,
	Example: "ISSUER=https://auth.example.com clients adopt-keys",
	Setup:   operation(adoptKeys),
}

// operation makes a verb of what takes no arguments.
func operation(do func(ctx context.Context, out io.Writer) error) func(*flag.FlagSet) tool.Action {
	return func(*flag.FlagSet) tool.Action {
		return func(ctx context.Context, s *tool.Session, _ []string) error { return do(ctx, s.Out) }
	}
}

// reseal seals the stored signing keys with the first key of KEY_ENCRYPTION_KEY.
func reseal(ctx context.Context, out io.Writer) error {
	if os.Getenv("DATABASE_URL") == "" {
		return errors.New("DATABASE_URL is not set: reseal is for signing keys in PostgreSQL; files are not sealed")
	}
	ctx, cancel := context.WithTimeout(ctx, tool.Timeout)
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
func adoptKeys(ctx context.Context, out io.Writer) error {
	set, err := service.Load(os.Getenv("ISSUER")) // for the timetable that the issuer has
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tool.Timeout)
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
	store, place, err := open(ctx, tool.Timeout)
	if err != nil {
		return nil, "", nil, err
	}
	if keys, err = store.KeyStore(issuer, keks...); err != nil {
		return nil, "", nil, errors.Join(err, store.Close())
	}
	return keys, place, func() { _ = store.Close() }, nil
}
