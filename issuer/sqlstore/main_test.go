package sqlstore_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// roleVariable says what a process that a test started is to do.
const roleVariable = "M2M_SQLSTORE_ROLE"

// roles get a database and the arguments.
var roles = map[string]func(context.Context, database, []string) error{
	"migrate": migrateRole,
	"write":   writeRole,
}

// TestMain fails the run when goroutines are left behind. A process that a test
// started does its work and ends here.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		d := database{driver: os.Args[1], source: os.Args[2]}
		if err := roles[role](context.Background(), d, os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 2*time.Second {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
		time.Sleep(wait)
	}
	os.Exit(code)
}

// database is a place for a store, as yet without tables.
type database struct {
	driver string // sqlite or pgx
	source string // a path, or a URL
}

// onBoth runs a test with an empty database of each kind.
func onBoth(t *testing.T, test func(*testing.T, database)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, database{"sqlite", filepath.Join(t.TempDir(), "m2m.db")})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, postgres(t))
	})
}

// postgres makes a schema of the test's own.
func postgres(t testing.TB) database {
	server := os.Getenv("POSTGRES_URL")
	if server == "" {
		t.Skip("NOT TESTED ON POSTGRESQL: set POSTGRES_URL to a database in which the test may create schemas, e.g. postgres://user@127.0.0.1:5432/test")
	}
	schema := "m2m_test_" + strings.ToLower(rand.Text())
	admin := func(statement string) {
		db, err := sql.Open("pgx", server)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
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

// raw opens the database for a look behind the store's back.
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

// process starts this test binary in a role. It writes to the pipe to let it go.
func (d database) process(t *testing.T, role string, args ...string) (cmd *exec.Cmd, output *bufio.Scanner, start func()) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{d.driver, d.source}, args...)...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out), func() { _ = in.Close() }
}

func register(t *testing.T, store *sqlstore.Store, c registry.Client) registry.Client {
	t.Helper()
	registered, err := store.Register(t.Context(), c)
	if err != nil {
		t.Fatalf("Register(%q): %v", c.ID, err)
	}
	return registered
}

// end is the last sequence in the feed.
func end(t *testing.T, store *sqlstore.Store) int64 {
	t.Helper()
	page, err := store.Changes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return page.End
}

// token is a change that revokes a token.
func token(id string, expires time.Time) registry.Change {
	return registry.Change{Kind: registry.TokenRevoked, TokenID: id, ExpiresAt: expires}
}

// revoke writes a change.
func revoke(t *testing.T, store *sqlstore.Store, c registry.Change) int64 {
	t.Helper()
	sequence, err := store.Revoke(t.Context(), c)
	if err != nil {
		t.Fatalf("Revoke(%+v): %v", c, err)
	}
	return sequence
}

// announced fails unless the feed says, after a sequence, that the client has
// changed, once.
func announced(t *testing.T, store *sqlstore.Store, since int64, clientID string) {
	t.Helper()
	page, err := store.Changes(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Changes) != 1 || page.Changes[0].Kind != registry.ClientChanged || page.Changes[0].ClientID != clientID ||
		time.Until(page.Changes[0].ExpiresAt) < 59*time.Minute {
		t.Errorf("the feed says %+v, want one change of %q", page.Changes, clientID)
	}
}
