package sqlstore_test

import (
	"context"
	"database/sql/driver"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// freezing makes connections that freeze in the middle of a migration.
type freezing struct {
	driver.Connector
	frozen chan struct{} // closed when one is frozen
	thaw   chan struct{}
	once   sync.Once
}

func (f *freezing) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &frozenConn{conn.(*stdlib.Conn), f}, nil
}

type frozenConn struct {
	*stdlib.Conn
	of *freezing
}

func (c *frozenConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if strings.HasPrefix(query, "INSERT INTO m2m_schema") {
		c.of.once.Do(func() { close(c.of.frozen) })
		<-c.of.thaw
	}
	return c.Conn.ExecContext(ctx, query, args)
}

// A process that is frozen while it migrates holds up the others for the 1.5 s that the
// server allows, and migrates nothing.
func TestFrozenInMigration(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	connector := &freezing{Connector: newCounting(t, d).Connector, frozen: make(chan struct{}), thaw: make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		_, err := sqlstore.Open(context.Background(), sqlstore.Config{Connector: connector})
		failed <- err
	}()
	<-connector.frozen
	ctx, cancel := context.WithTimeout(t.Context(), holdUp)
	defer cancel()
	begun := time.Now()
	store, err := d.connect(ctx)
	if err != nil {
		t.Errorf("after %v: %v", time.Since(begun), err)
	} else if err := store.Close(); err != nil {
		t.Error(err)
	}
	close(connector.thaw)
	if err := <-failed; err == nil {
		t.Error("the frozen migration was committed")
	}
}

// A migration that waits for a table, because a report reads it, gives up after 2 s and
// tries again. So readers that queue behind it are served.
func TestMigrationWaitsShort(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	db := d.raw(t)
	d.open(t)
	report, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Exec("LOCK TABLE m2m_clients, m2m_feed, m2m_secrets IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	migrated := make(chan error, 1)
	go func() {
		store, err := sqlstore.OpenWith(context.Background(), d.config(), addColumn)
		if err == nil {
			err = store.Close()
		}
		migrated <- err
	}()
	longest := time.Duration(0)
	for begun := time.Now(); time.Since(begun) < 4*time.Second; time.Sleep(20 * time.Millisecond) {
		asked := time.Now()
		if n := count(t, db, "m2m_clients"); n != 0 {
			t.Fatal(n)
		}
		longest = max(longest, time.Since(asked))
	}
	if longest > holdUp {
		t.Errorf("a reader waited %v for the migration", longest)
	}
	t.Logf("a reader waited %v at most", longest)
	if err := report.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Error(err)
	}
}
