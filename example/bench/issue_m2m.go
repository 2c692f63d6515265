package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// m2mGrantor is an issuer as shipped, on an Echo app.
func m2mGrantor(name string, o *office, store registry.Store) (grantor, error) {
	iss, err := issuer.New(issuer.Config{Issuer: issuerURL, MaxGrantRate: -1, Keys: o.keys, Store: store})
	if err != nil {
		return grantor{}, err
	}
	e := echo.New()
	iss.Mount(e)
	return grantor{name: name, handler: e, path: "/token", close: iss.Close}, nil
}

func memoryGrantor(_ context.Context, o *office) (grantor, error) {
	store, err := registry.NewMemory(o.client())
	if err != nil {
		return grantor{}, err
	}
	return m2mGrantor(issueMemory, o, store)
}

// counted is a database whose reads of a client are counted.
type counted struct {
	*sqlstore.Store
	reads atomic.Int64
}

func (c *counted) Client(ctx context.Context, id string) (*registry.Client, error) {
	c.reads.Add(1)
	return c.Store.Client(ctx, id)
}

// databaseGrantor puts the client into the database and grants from there.
func databaseGrantor(ctx context.Context, name string, o *office, store *sqlstore.Store, cleanUp func() error) (grantor, error) {
	source := &counted{Store: store}
	_, err := store.Register(ctx, o.client())
	if err != nil {
		return grantor{}, errors.Join(err, store.Close(), cleanUp())
	}
	g, err := m2mGrantor(name, o, source)
	if err != nil {
		return grantor{}, errors.Join(err, store.Close(), cleanUp())
	}
	stop := g.close
	g.close = func() error { return errors.Join(stop(), store.Close(), cleanUp()) }
	g.reads = source.reads.Load
	return g, nil
}

func sqliteGrantor(ctx context.Context, o *office) (grantor, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return grantor{}, err
	}
	cleanUp := func() error { return os.RemoveAll(dir) }
	store, err := sqlite.Open(ctx, filepath.Join(dir, "issuer.db"))
	if err != nil {
		return grantor{}, errors.Join(err, cleanUp())
	}
	return databaseGrantor(ctx, issueSQLite, o, store, cleanUp)
}

const noPostgres = "left out: POSTGRES_URL is not set"

// postgresGrantor works in a schema of its own, which it drops.
func postgresGrantor(ctx context.Context, o *office) (grantor, error) {
	address := os.Getenv("POSTGRES_URL")
	if address == "" {
		return grantor{name: issuePG, why: noPostgres}, nil
	}
	schema := "bench_" + strings.ToLower(rand.Text())
	admin, err := sql.Open("pgx", address)
	if err != nil {
		return grantor{}, err
	}
	where, err := url.Parse(address)
	if err != nil {
		return grantor{}, errors.Join(fmt.Errorf("POSTGRES_URL: %w", err), admin.Close())
	}
	query := where.Query()
	query.Set("search_path", schema)
	where.RawQuery = query.Encode()
	if _, err := admin.ExecContext(ctx, `CREATE SCHEMA `+schema); err != nil {
		return grantor{}, errors.Join(err, admin.Close())
	}
	cleanUp := func() error {
		_, err := admin.ExecContext(context.Background(), `DROP SCHEMA `+schema+` CASCADE`)
		return errors.Join(err, admin.Close())
	}
	store, err := sqlstore.Open(ctx, sqlstore.Config{Driver: "pgx", DSN: where.String()})
	if err != nil {
		return grantor{}, errors.Join(err, cleanUp())
	}
	return databaseGrantor(ctx, issuePG, o, store, cleanUp)
}
