package sqlstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// database is an empty database for a store.
type database struct {
	driver string // sqlite or pgx
	source string // a path, or a URL
}

// onBoth runs a test with an empty database of each kind.
func onBoth(t *testing.T, test func(*testing.T, database)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, sqliteFile(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, postgres(t))
	})
}

// sqliteFile is a database in a file of the test's own.
func sqliteFile(t testing.TB) database {
	t.Helper()
	if !slices.Contains(sql.Drivers(), "sqlite") {
		t.Skip("NOT TESTED ON SQLITE: it was left out by -tags nosqlite")
	}
	return database{"sqlite", filepath.Join(t.TempDir(), "m2m.db")}
}

// administration makes and drops the schemas of the tests. TestMain closes it.
var administration = sync.OnceValue(func() *sql.DB {
	db, err := sql.Open("pgx", os.Getenv("POSTGRES_URL"))
	if err != nil { // the URL cannot be parsed
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	db.SetMaxIdleConns(parallel)
	return db
})

// postgres makes a schema of the test's own. A commit does not wait for the server's
// disk, as these tests kill clients and never the server.
func postgres(t testing.TB) database {
	t.Helper()
	server := os.Getenv("POSTGRES_URL")
	if server == "" {
		t.Skip("NOT TESTED ON POSTGRESQL: set POSTGRES_URL to a database in which the test may create schemas, e.g. postgres://user@127.0.0.1:5432/test")
	}
	schema := "m2m_test_" + strings.ToLower(rand.Text())
	admin := func(statement string) {
		_, err := administration().Exec(statement)
		for range 10 { // a statement that a test gave up may still run, and hold locks of the schema
			if err == nil || !strings.Contains(err.Error(), "40P01") { // deadlock detected
				break
			}
			_, err = administration().Exec(statement)
		}
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	admin("CREATE SCHEMA " + schema)
	t.Cleanup(func() { admin("DROP SCHEMA " + schema + " CASCADE") })
	source, err := url.Parse(server)
	if err != nil {
		t.Fatal("POSTGRES_URL is not a URL")
	}
	query := source.Query()
	query.Set("search_path", schema)
	query.Set("synchronous_commit", "off")
	source.RawQuery = query.Encode()
	return database{"pgx", source.String()}
}

// connect opens a store as a process would.
func (d database) connect(ctx context.Context) (*sqlstore.Store, error) {
	if d.driver == "sqlite" {
		return sqlite.Open(ctx, d.source)
	}
	return sqlstore.Open(ctx, sqlstore.Config{Driver: d.driver, DSN: d.source, MaxConns: 11})
}

// open is connect, until the test ends.
func (d database) open(t *testing.T) *sqlstore.Store {
	t.Helper()
	store, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// raw opens the database without a store.
func (d database) raw(t *testing.T) *sql.DB {
	t.Helper()
	source := d.source
	if d.driver == "sqlite" {
		source += "?_pragma=busy_timeout(10000)"
		f, err := os.OpenFile(d.source, os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	db, err := sql.Open(d.driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// config opens the database as package sqlite does, or as connect does.
func (d database) config() sqlstore.Config {
	if d.driver == "sqlite" {
		return sqlstore.Config{Driver: "sqlite", DSN: "file:" + d.source + "?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)"}
	}
	return sqlstore.Config{Driver: d.driver, DSN: d.source, MaxConns: 11}
}

type configured struct{ sqlstore.Config }

func (c configured) open(t *testing.T) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// with sets a parameter for the database's connections.
func with(t *testing.T, d database, parameter, value string) database {
	t.Helper()
	source, err := url.Parse(d.source)
	if err != nil {
		t.Fatal(err)
	}
	query := source.Query()
	query.Set(parameter, value)
	source.RawQuery = query.Encode()
	d.source = source.String()
	return d
}
