// Command example is the whole of m2m in one process: an issuer that grants
// tokens, and an API that wants them.
//
//	go run ./example
//
// It prints a curl session to paste. Its settings, all optional, are environment
// variables; .github/docs/settings.md lists them.
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

	"github.com/echo-m2m/m2m/example/orders"
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
	helped, err := service.Help("example", os.Args[1:], os.Stdout)
	if err == nil && !helped {
		err = run(context.Background())
	}
	if err != nil {
		log.Fatal("example: ", err)
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
		Issuer:   set.Issuer,
		Audience: set.Audience,
		Keys:     keys,        // the same process: no HTTP call to ourselves
		Revoked:  iss.Revoked, // a revoked token or client stops at the next request
		ClientIP: set.ClientIP,
		Observe:  service.Observe,
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
	orders.Mount(e, auth)
	return service.Serve(e, listener, ready, fmt.Sprintf("issuer %s, API audience %s, process %d, listening on %s\n%s", set.Issuer, set.Audience, os.Getpid(), listener.Addr(), session(set.Issuer, secret)))
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

// session shows how to use the client that was just made, if one was.
func session(issuerURL, secret string) string {
	if secret == "" {
		return ""
	}
	return fmt.Sprintf(`
The client "demo" was made. Its secret is shown this once. Paste this in another terminal:

  # 1. get a token
  TOKEN=$(curl -s %[1]s/token -d grant_type=client_credentials \
    -d client_id=demo -d client_secret=%[2]s \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

  # 2. call the API with it
  curl -s %[1]s/v1/orders -H "Authorization: Bearer $TOKEN"
  curl -s %[1]s/v1/whoami -H "Authorization: Bearer $TOKEN"

  # 3. be refused without it
  curl -i %[1]s/v1/orders

`, issuerURL, secret)
}
