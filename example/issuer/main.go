// Command issuer is an issuer alone, of which many replicas can run on one
// PostgreSQL database:
//
//	DATABASE_URL=postgres://… ISSUER=https://auth.example.com go run ./example/issuer
//
// It differs from ./example in that it has no orders API. Its own admin API wants
// a token for the audience ISSUER + "/admin" with the scope clients:admin; make
// the first such client with ./example/clients.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", for DATABASE_URL
	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/seed"
	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func main() {
	helped, err := service.Help("issuer", os.Args[1:], os.Stdout)
	if err == nil && !helped {
		err = run(context.Background())
	}
	if err != nil {
		log.Fatal("issuer: ", err)
	}
}

func run(ctx context.Context) error {
	listener, url, err := service.Listen("127.0.0.1:8080")
	if err != nil {
		return err
	}
	defer listener.Close()
	set, err := service.Load(url)
	if err != nil {
		return err
	}

	store, keyStore, err := open(ctx, set)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := service.CompareAges(ctx, store, keyStore); err != nil {
		return err
	}
	keys, err := jwks.Open(ctx, keyStore, set.Policy)
	if err != nil {
		return err
	}
	defer keys.Close()
	defer service.KeysOnSignal(ctx, keys)()

	iss, err := issuer.New(issuer.Config{
		Issuer:          set.Issuer,
		Keys:            keys,
		Store:           store,
		TokenTTL:        set.TokenTTL,
		FailedAttempts:  set.FailedAttempts,
		MaxGrantRate:    set.MaxGrantRate,
		ClientIP:        set.ClientIP,
		ImportedSecrets: true, // CLIENT_SECRET may be anything
		Observe:         service.Observe,
	})
	if err != nil {
		return err
	}
	defer iss.Close()
	secret, err := seed.Clients(ctx, store, set.Audience)
	if err != nil {
		return err
	}
	auth, err := bearer.New(bearer.Config{
		Issuer: set.Issuer, Audience: set.Issuer + "/admin", Keys: keys, Revoked: iss.Revoked, ClientIP: set.ClientIP, Observe: service.Observe,
	})
	if err != nil {
		return err
	}
	clients, err := admin.New(admin.Config{Issuer: iss, Manager: store, Observe: service.Observe})
	if err != nil {
		return err
	}

	e := echo.New()
	ready := service.Ready(iss, auth) // the issuer asks its keyring and its store
	probes := []string{http.MethodGet, http.MethodHead}
	e.Match(probes, "/healthz", echo.WrapHandler(http.HandlerFunc(service.Health)))
	e.Match(probes, "/readyz", echo.WrapHandler(ready))
	iss.Mount(e)
	clients.Mount(e.Group("/admin", auth.Require("clients:admin")), func(c echo.Context) string { return bearer.TokenFrom(c).ClientID })
	say := fmt.Sprintf("issuer %s, process %d, listening on %s\n", set.Issuer, os.Getpid(), listener.Addr())
	if secret != "" {
		say += fmt.Sprintf("the client \"demo\" was made; its secret is shown this once: %s\n", secret)
	}
	return service.Serve(e, listener, ready, say)
}

// open opens the store of clients and that of keys: PostgreSQL, which replicas
// share, or files of this machine.
func open(ctx context.Context, set service.Settings) (*sqlstore.Store, jwks.KeyStore, error) {
	if err := set.CheckStorage(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if set.DatabaseURL != "" {
		keyEncryptionKeys, err := service.KeyEncryptionKeys()
		if err != nil {
			return nil, nil, err
		}
		store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: set.DatabaseURL, Name: set.Name, NoMigrate: set.NoMigrate})
		if err != nil {
			return nil, nil, service.OldTables(err)
		}
		keyStore, err := store.KeyStore(set.Issuer, keyEncryptionKeys...)
		if err != nil {
			return nil, nil, errors.Join(err, store.Close())
		}
		return store, keyStore, nil
	}
	if err := os.MkdirAll(set.DataDir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	store, err := sqlite.Open(ctx, filepath.Join(set.DataDir, "issuer.db"))
	return store, jwks.File(filepath.Join(set.DataDir, "keys.json")), err
}
