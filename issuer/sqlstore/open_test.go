package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

func TestOpenRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		config sqlstore.Config
		want   string
	}{
		"nothing":         {sqlstore.Config{}, "Driver and DSN"},
		"no DSN":          {sqlstore.Config{Driver: "pgx"}, "Driver and DSN"},
		"no driver":       {sqlstore.Config{DSN: "postgres://127.0.0.1/x"}, "Driver and DSN"},
		"both":            {sqlstore.Config{Driver: "pgx", DSN: "x", Connector: &counting{}}, "Config.Connector"},
		"unlimited":       {sqlstore.Config{Driver: "pgx", DSN: "x", MaxConns: -1}, "Config.MaxConns"},
		"too few":         {sqlstore.Config{Driver: "pgx", DSN: "x", MaxConns: 3}, "Config.MaxConns"},
		"unknown driver":  {sqlstore.Config{Driver: "none", DSN: "x"}, `"none"`},
		"no busy_timeout": {sqlstore.Config{Driver: "sqlite", DSN: sqliteFile(t).source}, "busy_timeout"},
	} {
		store, err := sqlstore.Open(t.Context(), tt.config)
		if store != nil || err == nil || !strings.HasPrefix(err.Error(), "sqlstore: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.want)
		}
	}
}

// A SQLite database can be opened without package sqlite.
func TestOpenSQLite(t *testing.T) {
	source := sqliteFile(t).source + "?_pragma=busy_timeout(10000)"
	for range 2 {
		store, err := sqlstore.Open(t.Context(), sqlstore.Config{Driver: "sqlite", DSN: source})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Ensure(t.Context(), store, registry.Client{ID: "c"}); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// counting is a connector that counts the connections that are open.
type counting struct {
	driver.Connector
	closed atomic.Int64

	mu         sync.Mutex
	open, most int
}

func (c *counting) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c.count(1)
	return &countedConn{conn.(*stdlib.Conn), c}, nil
}

func (c *counting) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
	c.most = max(c.most, c.open)
}

func (c *counting) Close() error {
	c.closed.Add(1)
	return nil
}

// countedConn has all methods of the driver's connections.
type countedConn struct {
	*stdlib.Conn
	of *counting
}

func (c *countedConn) Close() error {
	c.of.count(-1)
	return c.Conn.Close()
}

func newCounting(t *testing.T, d database) *counting {
	t.Helper()
	db, err := sql.Open(d.driver, d.source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	connector, err := db.Driver().(driver.DriverContext).OpenConnector(d.source)
	if err != nil {
		t.Fatal(err)
	}
	return &counting{Connector: connector}
}

// A store on a connector stays within MaxConns under load. Close closes all connections, and
// the connector once.
func TestOpenConnector(t *testing.T) {
	t.Parallel()
	connector := newCounting(t, postgres(t))
	const most = 6
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{Connector: connector, MaxConns: most})
	if err != nil {
		t.Fatal(err)
	}
	register(t, store, registry.Client{ID: "c"})
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			if _, err := store.Once(t.Context(), "s", fmt.Sprint(i), time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			if _, err := store.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	connector.mu.Lock()
	defer connector.mu.Unlock()
	if connector.most > most || connector.most < 4 {
		t.Errorf("%d connections at once, want at most %d", connector.most, most)
	}
	if closed := connector.closed.Load(); connector.open != 0 || closed != 1 {
		t.Errorf("%d connections are open after Close, the connector was closed %d times", connector.open, closed)
	}
}

// Requests that hold all their connections delay neither the follower nor the
// operator.
func TestFloodLeavesTheOperatorAlone(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	store := d.open(t)
	register(t, store, registry.Client{ID: "c"})
	lock, err := d.raw(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, statement := range []string{"BEGIN", "LOCK TABLE m2m_once IN ACCESS EXCLUSIVE MODE"} {
		if _, err := lock.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for i := range 100 {
		flood.Go(func() {
			for ctx.Err() == nil {
				_, _ = store.Once(ctx, "s", fmt.Sprint(i), time.Now().Add(time.Hour))
			}
		})
	}
	// The server ends a wait for the lock, so a request may find a connection now and then.
	request := func() error {
		soon, done := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer done()
		_, err := store.Client(soon, "c")
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); request() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the flood left a connection free, so nothing is tested")
		}
	}
	soon, done := context.WithTimeout(t.Context(), 5*time.Second)
	defer done()
	if _, err := store.Changes(soon, 0); err != nil {
		t.Errorf("the follower: %v", err)
	}
	if _, err := store.List(soon, registry.Query{}); err != nil {
		t.Errorf("the operator: %v", err)
	}
	if _, err := store.RotateSecret(soon, "c", registry.Rotation{}); err != nil {
		t.Errorf("the operator: %v", err)
	}
	if _, err := store.Revoke(soon, registry.CutOff("c")); err != nil {
		t.Errorf("the operator: %v", err)
	}
	cancel()
	flood.Wait()
}

// Administration that waits for a lock does not delay the follower.
func TestOperatorLeavesTheFollowerAlone(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	store := d.open(t)
	register(t, store, registry.Client{ID: "c"})
	lock, err := d.raw(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, statement := range []string{"BEGIN", "UPDATE m2m_clients SET name = 'x'"} {
		if _, err := lock.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() {
			if _, err := store.RotateSecret(ctx, "c", registry.Rotation{}); err == nil {
				t.Error("nothing was locked, so nothing is tested")
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	soon, done := context.WithTimeout(t.Context(), 5*time.Second)
	defer done()
	if _, err := store.Changes(soon, 0); err != nil {
		t.Error(err)
	}
	cancel()
	waiting.Wait()
}
