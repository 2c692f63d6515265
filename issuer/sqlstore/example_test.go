package sqlstore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"os"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// An issuer on PostgreSQL. Every replica does the same.
func ExampleOpen() {
	ctx := context.Background()
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: "postgres://m2m@db.example.com/m2m"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	secret, err := registry.Ensure(ctx, store, registry.Client{
		ID: "reporter", Audiences: []string{"https://api.example.com"}, Scopes: []string{"orders:read"},
	})
	if err != nil {
		log.Fatal(err)
	}
	if secret != "" { // only on the replica that registered it, at the first start
		fmt.Println("secret of reporter, shown once:", secret)
	}

	keys, err := jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{}) // or the database's: see Store.KeyStore
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		log.Fatal(err)
	}
	defer iss.Close()
	_ = iss.Handler() // to serve; on an Echo app call iss.Mount instead
}

// The signing keys in the same database, so that replicas share them. They are sealed
// with a key that is not in the database.
func ExampleStore_KeyStore() {
	ctx := context.Background()
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: "postgres://m2m@db.example.com/m2m"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	kek, err := base64.StdEncoding.DecodeString(os.Getenv("KEY_ENCRYPTION_KEY")) // of openssl rand -base64 32
	if err != nil {
		log.Fatal(err)
	}
	sealed, err := store.KeyStore("https://auth.example.com", kek)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.Open(ctx, sealed, jwks.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	_ = issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store}
}

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
	_ = issuer.Config{Issuer: "https://auth.example.com", Store: store} // with Keys: see Store.KeyStore
}

// The backup of an older release was restored while the program was running: its tables
// are brought up to date without a restart.
func ExampleStore_Migrate() {
	ctx := context.Background()
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: "postgres://m2m@db.example.com/m2m"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	// Here the backup is restored.
	if err := store.Migrate(ctx); err != nil {
		log.Print(err)
	}
}
