package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", for DATABASE_URL

	"github.com/echo-m2m/m2m/example/clients/tool"
	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// open opens the store where the issuer has it, and says where that is. It makes no
// new one and changes no tables: a wrong setting must not pass for an issuer without
// clients.
func open(ctx context.Context, timeout time.Duration) (*sqlstore.Store, string, error) {
	if os.Getenv("DATABASE_URL") != "" {
		store, place, err := openDatabase(ctx, timeout, true)
		return store, place, service.OldTables(err)
	}
	if err := service.DatabaseNamed(); err != nil {
		return nil, "", err
	}
	path := databaseFile()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("there is no %s: set DATA_DIR or DATABASE_URL as the issuer has them, or make it: clients migrate", path)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	store, err := sqlite.Open(ctx, path)
	return store, path, err
}

// openDatabase opens the store of DATABASE_URL. The timeout is that of connecting,
// and, with noMigrate, of all of it.
func openDatabase(ctx context.Context, timeout time.Duration, noMigrate bool) (*sqlstore.Store, string, error) {
	url, name := os.Getenv("DATABASE_URL"), os.Getenv("ISSUER_NAME")
	place, err := placeOf(url)
	if err != nil {
		return nil, "", fmt.Errorf("DATABASE_URL: %w", err)
	}
	unreachable := func(err error) error {
		return fmt.Errorf("no connection to DATABASE_URL %s; nothing was changed: %w", place, err)
	}
	connecting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := ping(connecting, url); err != nil {
		return nil, "", unreachable(err)
	}
	opening := ctx
	if noMigrate {
		opening = connecting
	}
	store, err := sqlstore.Open(opening, sqlstore.Config{Driver: "pgx", DSN: url, MaxConns: 4, Name: name, NoMigrate: noMigrate})
	if err != nil && opening.Err() != nil {
		return nil, "", unreachable(err)
	}
	if name != "" {
		place += " issuer " + name
	}
	return store, place, err
}

func ping(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	return errors.Join(db.PingContext(ctx), db.Close())
}

// placeOf names the servers and the database of a DSN, without user and password.
func placeOf(url string) (string, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return "", err
	}
	address := func(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	servers := []string{address(c.Host, c.Port)}
	for _, other := range c.Fallbacks { // also the same server, without TLS
		servers = append(servers, address(other.Host, other.Port))
	}
	return strings.Join(slices.Compact(servers), ",") + "/" + c.Database, nil
}

func dataDir() string { return cmp.Or(os.Getenv("DATA_DIR"), "data") }

// databaseFile is the path of the SQLite database.
func databaseFile() string {
	path := filepath.Join(dataDir(), "issuer.db")
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

func makeFile(ctx context.Context, path string) (*sqlstore.Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, path)
}

var migrateVerb = tool.Verb{
	Group: tool.GroupStorage, Name: "migrate", Summary: "bring the tables up to date, or make them", NoStorage: true, NoJSON: true,
	Text: `Makes the tables of DATABASE_URL, or the SQLite database in DATA_DIR, or brings them up
to date. An issuer does so too when it starts, unless NO_MIGRATE is set.`,
	Example: "DATABASE_URL=postgres://m2m@db/m2m clients migrate",
	Setup:   operation(migrate),
}

// migrate brings the tables up to date, or makes them.
func migrate(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	var store *sqlstore.Store
	place := databaseFile()
	if os.Getenv("DATABASE_URL") != "" {
		store, place, err = openDatabase(ctx, tool.Timeout, false)
	} else if err = service.DatabaseNamed(); err == nil {
		store, err = makeFile(ctx, place)
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
	_, err = fmt.Fprintf(out, "%s: the tables %s %d\n", place, what, s.Schema)
	return err
}
