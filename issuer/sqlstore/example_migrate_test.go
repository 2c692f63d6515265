package sqlstore_test

import (
	"context"
	"errors"
	"log"

	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// Two programs: a step of the deployment migrates the tables, as a role that may change
// them. The issuer's own role may not, and it does not start on older tables.
func ExampleConfig_noMigrate() {
	ctx := context.Background()

	// The step of the deployment:
	owner, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: "postgres://m2m_owner@db.example.com/m2m"})
	if err != nil {
		log.Fatal(err)
	}
	if err := owner.Close(); err != nil {
		log.Fatal(err)
	}

	// The issuer:
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: "postgres://m2m@db.example.com/m2m", NoMigrate: true})
	if errors.Is(err, sqlstore.ErrOldTables) {
		log.Fatal("run the migration first: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
}

// The backup of an older release was restored while the program was running.
func ExampleStore_Migrate() {
	ctx := context.Background()
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: "postgres://m2m@db.example.com/m2m"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	// Here the backup is restored.

	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
}
