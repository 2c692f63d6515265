package service

import (
	"context"
	"log"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// CompareAges logs a warning when the database is new and the keys are old, or when
// new keys are about to be made for an old database: one of the two was lost, or a
// setting names the wrong one. It also logs that the tables were made. Call it before
// the keyring is opened.
func CompareAges(ctx context.Context, store *sqlstore.Store, keys jwks.KeyStore) error {
	if store.Status().New {
		log.Print("a new database was made. If this is not the first start, check DATABASE_URL, ISSUER_NAME and DATA_DIR, or restore the database")
	}
	blob, err := keys.Load(ctx)
	if err != nil {
		return err
	}
	clients, err := store.List(ctx, registry.Query{Limit: 1})
	if err != nil {
		return err
	}
	feed, err := store.Changes(ctx, 0)
	if err != nil {
		return err
	}
	switch empty := len(clients) == 0 && feed.End == 0; {
	case blob != nil && empty: // new, or emptied: no client was ever registered
		log.Print("WARNING: the database is new and empty, and the signing keys are old: was a file or a table lost, or does a setting name another database? Tokens that were revoked before are valid until they expire. Restore the database from a backup, or revoke all: clients revoke -all")
	case blob == nil && len(clients) > 0:
		log.Print("WARNING: the database has clients, and there are no signing keys: were they lost, or does a setting name another place? New ones are made, and all earlier tokens are refused")
	}
	return nil
}
