package sqlstore_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// migrateRole waits for the start and opens the store.
func migrateRole(ctx context.Context, d database, args []string) error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	store, err := d.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := store.Register(ctx, registry.Client{ID: args[0]}); err != nil {
		return err
	}
	return store.Close()
}

func TestEightProcessesMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		var wait []func() error
		var starts []func()
		for i := range 8 {
			cmd, _, start := d.process(t, "migrate", string(rune('a'+i)))
			wait, starts = append(wait, cmd.Wait), append(starts, start)
		}
		for _, start := range starts {
			start()
		}
		for i, wait := range wait {
			if err := wait(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		}
		db := d.raw(t)
		steps, err := sqlstore.Statements()
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "m2m_schema"); n != len(steps) {
			t.Errorf("%d versions applied, want %d", n, len(steps))
		}
		if n := count(t, db, "m2m_clients"); n != 8 {
			t.Errorf("%d clients, want 8", n)
		}
		if n := count(t, db, "m2m_feed_seq"); n != 1 {
			t.Errorf("%d counters, want 1", n)
		}
	})
}

// The clients and the feed of an older release are there after an update, and the older
// release works with the new tables.
func TestMigrationKeepsClients(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		old := d.open(t)
		db := d.raw(t)
		insertClients(t, db, 1)
		later := time.Now().Add(time.Hour).UnixMilli()
		mustExec(t, db, fmt.Sprintf("INSERT INTO m2m_feed (seq, token_id, client_id, cutoff, expires_at) VALUES (7, '', 'cut', TRUE, %d), (8, '', 'changed', FALSE, %d), (9, 'jti', '', FALSE, %d)", later, later, later))
		store, err := sqlstore.OpenWith(t.Context(), d.config(), addColumn)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		page, err := store.Changes(t.Context(), 0)
		got := ""
		for _, c := range page.Changes {
			got += fmt.Sprint(c.Sequence, " ", c.Kind, " ", c.ClientID, c.TokenID, ", ")
		}
		if want := "7 client cut off cut, 8 client changed changed, 9 token revoked jti, "; err != nil || got != want {
			t.Errorf("the feed: %s, %v, want %s", got, err, want)
		}
		register(t, old, registry.Client{ID: "old"}) // the older release still works
		for _, id := range []string{"000000", "old"} {
			if c, err := store.Client(t.Context(), id); err != nil || c.Version != 1 || c.Metadata != nil {
				t.Errorf("%s: %+v, %v", id, c, err)
			}
		}
	})
}

// A migration that fails leaves nothing behind.
func TestFailedMigration(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		db := d.raw(t)
		mustExec(t, db, "CREATE TABLE m2m_keys (other BIGINT)")
		if _, err := d.connect(t.Context()); err == nil || !strings.Contains(err.Error(), "version 1") {
			t.Fatalf("got %v, want an error that names the version", err)
		}
		if _, err := db.ExecContext(t.Context(), "SELECT id FROM m2m_clients"); err == nil {
			t.Error("half of the tables are there")
		}
		mustExec(t, db, "DROP TABLE m2m_keys")
		d.open(t)
	})
}
