// Command example is the whole of m2m in one process: an issuer that grants
// tokens, and an API that wants them.
//
//	go run ./example
//	go run ./example -doctor    # checks the configuration
//
// It prints a curl session to paste. Its settings, all optional, are environment
// variables; .github/docs/settings.md lists them.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", for DATABASE_URL
	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/bound"
	"github.com/echo-m2m/m2m/example/orders"
	"github.com/echo-m2m/m2m/example/seed"
	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

const address = "127.0.0.1:8080" // unless ADDR says otherwise

func main() { service.Main("example", run, examine) }

func run(ctx context.Context) error {
	listener, url, err := service.Listen(address)
	if err != nil {
		return err
	}
	defer listener.Close()
	set, err := service.Load(url)
	if err != nil {
		return err
	}
	listeners, set, err := set.ListenTLS(listener)
	if err != nil {
		return err
	}
	defer listeners[len(listeners)-1].Close()

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

	one, err := newApp(set, keys, store)
	if err != nil {
		return err
	}
	defer one.iss.Close()
	demo, err := seed.Clients(ctx, store, set.Audience, set.Audience)
	if err != nil {
		return err
	}
	say := fmt.Sprintf("issuer %s, API audience %s, process %d, listening on %s\n", set.Issuer, set.Audience, os.Getpid(), listener.Addr())
	return service.Serve(one.e, listeners, one.ready, say+set.SayTLS()+session(set, demo))
}

// app is the issuer, and the routes with the guard before them.
type app struct {
	iss   *issuer.Issuer
	e     *echo.Echo
	ready *service.Readiness
}

func newApp(set service.Settings, keys *jwks.Keyring, store registry.Manager) (*app, error) {
	workloads, err := seed.WorkloadIssuers()
	if err != nil {
		return nil, err
	}
	iss, err := issuer.New(issuer.Config{
		Issuer:             set.Issuer,
		Keys:               keys,
		Store:              store,
		TokenTTL:           set.TokenTTL,
		FailedAttempts:     set.FailedAttempts,
		MaxGrantRate:       set.MaxGrantRate,
		ClientIP:           set.ClientIP,
		ImportedSecrets:    true, // CLIENT_SECRET may be anything
		WorkloadIssuers:    workloads,
		ClientCertificates: bound.Issuer(set),
		DPoP:               &set.DPoP,
		Observe:            set.Observe,
	})
	if err != nil {
		return nil, err
	}
	proofs, certificates := bound.API(set, set.Issuer, store.Once)
	auth, err1 := bearer.New(bearer.Config{
		Issuer:             set.Issuer,
		Audience:           set.Audience,
		Keys:               keys,        // the same process: no HTTP call to ourselves
		Revoked:            iss.Revoked, // a revoked token or client stops at the next request
		ClientIP:           set.ClientIP,
		DPoP:               proofs,
		ClientCertificates: certificates,
		Observe:            set.Observe,
	})
	clients, err2 := admin.New(admin.Config{Issuer: iss, Manager: store, Observe: set.Observe})
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(err, iss.Close())
	}

	e := echo.New()
	ready := service.Ready(iss, auth) // the issuer asks its keyring and its store
	probes := []string{http.MethodGet, http.MethodHead}
	e.Match(probes, "/healthz", echo.WrapHandler(http.HandlerFunc(service.Health)))
	e.Match(probes, "/readyz", echo.WrapHandler(ready))
	iss.Mount(e)
	clients.Mount(e.Group("/admin", auth.Require("clients:admin")), func(c echo.Context) string { return bearer.TokenFrom(c).ClientID })
	orders.Mount(e, auth)
	return &app{iss, e, ready}, nil
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
