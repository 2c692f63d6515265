package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// upgrade changes the tables as a newer release would. from is the oldest version that can
// read them.
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

// A release that restarts in the middle of an upgrade works with tables to which a newer one
// has only added, and does not change them.
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

// A release refuses tables of a newer one that it cannot read, and does not change them.
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

// With NoMigrate missing or old tables are an error, and are not changed.
func TestNoMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		d.raw(t) // makes the file
		c := d.config()
		c.NoMigrate = true
		steps, err := sqlstore.Statements()
		if err != nil {
			t.Fatal(err)
		}
		release := len(steps)
		if _, err := sqlstore.Open(t.Context(), c); !errors.Is(err, sqlstore.ErrOldTables) || !strings.Contains(err.Error(), "NoMigrate") || !strings.Contains(err.Error(), "Config.Name right?") {
			t.Errorf("an empty database: %v", err)
		}
		d.open(t)
		if s := (configured{c}).open(t).Status(); s.New || s.Schema != s.Release {
			t.Errorf("%+v", s)
		}
		if _, err := sqlstore.OpenWith(t.Context(), c, addColumn); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("it has version %d, this release needs %d", release, release+1)) {
			t.Errorf("an older database: %v", err)
		}
		for range 2 {
			store, err := sqlstore.OpenWith(t.Context(), d.config(), addColumn)
			if err != nil {
				t.Fatal(err)
			}
			if s := store.Status(); s.New || s.Schema != release+1 || s.Release != release+1 {
				t.Errorf("updated: %+v", s)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
		if s := (configured{c}).open(t).Status(); s.Schema != release+1 || s.Release != release {
			t.Errorf("this release, on tables of a newer one: %+v", s)
		}
	})
}

// addColumn is the migration of a newer release.
const addColumn = "ALTER TABLE m2m_clients ADD COLUMN newer TEXT NOT NULL DEFAULT 'x'"

// Only the Open that creates the tables reports that they are new.
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
