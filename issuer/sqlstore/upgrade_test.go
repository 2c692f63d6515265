package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/issuer/storetest"
)

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

// upgrade changes the tables as a newer release would, which says from which version
// on they can be read.
func upgrade(t *testing.T, d database, from int) {
	t.Helper()
	steps, err := sqlstore.Statements()
	if err != nil {
		t.Fatal(err)
	}
	db := d.raw(t)
	mustExec(t, db, addColumn)
	mustExec(t, db, fmt.Sprintf("INSERT INTO m2m_schema (version, applied_at, readable_from) VALUES (%d, 1, %d)", len(steps)+1, from))
}

// A release that restarts in the middle of an upgrade works with tables to which a
// newer one has only added, and leaves them as they are.
func TestNewerSchemaThatAdds(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		register(t, d.open(t), registry.Client{ID: "c"})
		upgrade(t, d, 1)
		store := d.open(t)
		for method, err := range everyCall(t.Context(), store) {
			if err != nil && method != "RemoveSecret" && method != "Update" && method != "AddSecret" && method != "RotateSecret" {
				t.Errorf("%s: %v", method, err)
			}
		}
		if s := store.Status(); s.Schema != s.Release+1 || s.New {
			t.Errorf("%+v", s)
		}
		if err := store.Migrate(t.Context()); err != nil {
			t.Error(err)
		}
		none := d.config()
		none.NoMigrate = true
		configured{none}.open(t)
	})
}

// A release does not work on the tables of a newer one that cannot be read, nor
// touch them.
func TestNewerSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		d.open(t)
		steps, err := sqlstore.Statements()
		if err != nil {
			t.Fatal(err)
		}
		upgrade(t, d, len(steps)+1)
		db := d.raw(t)
		for _, more := range []string{"", "INSERT INTO m2m_schema (version, applied_at) VALUES (1000, 1)"} {
			if more != "" {
				mustExec(t, db, more)
			}
			_, err := d.connect(t.Context())
			want := fmt.Sprintf("run a release that knows version %d or newer", len(steps)+1)
			if more != "" {
				want = "run a release that knows version 1000 or newer"
			}
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "sqlstore: ") {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		}
	})
}

// With NoMigrate the tables are left as they are: none, or those of an older release.
func TestNoMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		d.raw(t) // makes the file
		c := d.config()
		c.NoMigrate = true
		if _, err := sqlstore.Open(t.Context(), c); !errors.Is(err, sqlstore.ErrOldTables) || !strings.Contains(err.Error(), "NoMigrate") || !strings.Contains(err.Error(), "Config.Name right?") {
			t.Errorf("an empty database: %v", err)
		}
		d.open(t)
		if s := (configured{c}).open(t).Status(); s.New || s.Schema != s.Release {
			t.Errorf("%+v", s)
		}
		if _, err := sqlstore.OpenWith(t.Context(), c, addColumn); err == nil || !strings.Contains(err.Error(), "it has version 1, this release needs 2") {
			t.Errorf("an older database: %v", err)
		}
		for range 2 {
			store, err := sqlstore.OpenWith(t.Context(), d.config(), addColumn)
			if err != nil {
				t.Fatal(err)
			}
			if s := store.Status(); s.New || s.Schema != 2 || s.Release != 2 {
				t.Errorf("updated: %+v", s)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
		if s := (configured{c}).open(t).Status(); s.Schema != 2 || s.Release != 1 {
			t.Errorf("this release, on tables of a newer one: %+v", s)
		}
	})
}

// addColumn is the migration of a newer release.
const addColumn = "ALTER TABLE m2m_clients ADD COLUMN newer TEXT NOT NULL DEFAULT 'x'"

// Only the Open that makes the tables says that they are new.
func TestNew(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		if s := d.open(t).Status(); !s.New || s.Dialect == "" {
			t.Errorf("the first: %+v", s)
		}
		if s := d.open(t).Status(); s.New {
			t.Errorf("the second: %+v", s)
		}
	})
}

func TestNames(t *testing.T) {
	for _, name := range []string{"A", "a-b", "a b", "ä", strings.Repeat("a", 21), `"`} {
		if _, err := sqlstore.Open(t.Context(), sqlstore.Config{Driver: "pgx", DSN: "x", Name: name}); err == nil || !strings.Contains(err.Error(), "Config.Name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Issuers that share a database by name know nothing of each other.
func TestNamed(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]func(*testing.T) database{
		"SQLite":     func(t *testing.T) database { return database{"sqlite", t.TempDir() + "/m2m.db"} },
		"PostgreSQL": func(t *testing.T) database { return postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
				d := d(t)
				var stores []*sqlstore.Store
				for _, name := range []string{"", "feed", "feed_feed", "a"} { // the last is tested
					c := d.config()
					c.Name, c.MaxConns = name, 4
					stores = append(stores, configured{c}.open(t))
				}
				for i, other := range stores[:3] {
					register(t, other, registry.Client{ID: "plain", Name: fmt.Sprint(i)})
					register(t, other, registry.Client{ID: "of another issuer"})
					revoke(t, other, registry.CutOff("plain"))
				}
				for _, c := range clients {
					register(t, stores[3], c)
				}
				t.Cleanup(func() {
					for i, other := range stores[:3] {
						if c, err := other.Client(context.WithoutCancel(t.Context()), "plain"); err != nil || c.Name != fmt.Sprint(i) {
							t.Errorf("the other issuer's client: %+v, %v", c, err)
						}
					}
				})
				return stores[3]
			})
		})
	}
}
