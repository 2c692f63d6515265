package sqlstore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// every lists the tables of a store.
var every = []string{"clients", "secrets", "feed", "feed_seq", "once", "keys", "networks", "clock", "schema"}

// A database without one of its tables, as after an incomplete restore, is not ready, even
// before a call has failed.
func TestReadyWithoutATable(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		db := d.raw(t)
		for _, table := range every {
			if err := store.Ready(t.Context()); err != nil {
				t.Fatalf("before %s: %v", table, err)
			}
			mustExec(t, db, "ALTER TABLE m2m_"+table+" RENAME TO away")
			if err := store.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "m2m_"+table) {
				t.Errorf("without m2m_%s: %v", table, err)
			}
			mustExec(t, db, "ALTER TABLE away RENAME TO m2m_"+table)
		}
	})
}

// Without the feed's last sequence, or with an invalid one, nothing is written, and the feed
// does not count as set back. The store is not ready, and its errors say why.
func TestReadyWithoutANumber(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		for name, change := range map[string]string{
			"deleted": "DELETE FROM m2m_feed_seq",
			"above":   "UPDATE m2m_feed_seq SET seq = 9223372036854775807",
		} {
			store := d.open(t)
			c := register(t, store, registry.Client{ID: name})
			mustExec(t, d.raw(t), change)
			_, errRevoke := store.Revoke(t.Context(), registry.CutOff("c"))
			_, errRegister := store.Register(t.Context(), registry.Client{ID: "new"})
			_, errUpdate := store.Update(t.Context(), c)
			errs := map[string]error{"Revoke": errRevoke, "Register": errRegister, "Update": errUpdate, "Ready": store.Ready(t.Context()), "Delete": store.Delete(t.Context(), name)}
			if name == "deleted" {
				_, errs["Changes"] = store.Changes(t.Context(), 0)
			}
			for method, err := range errs {
				if err == nil || !strings.Contains(err.Error(), "m2m_feed_seq") || errors.Is(err, registry.ErrConflict) {
					t.Errorf("%s: %s: %v", name, method, err)
				}
			}
			if again, err := store.Client(t.Context(), name); err != nil || again.Version != 1 {
				t.Errorf("%s: written without a last sequence: %+v, %v", name, again, err)
			}
			if _, err := store.Client(t.Context(), "new"); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("%s: written without a last sequence: %v", name, err)
			}
			mustExec(t, d.raw(t), "DELETE FROM m2m_feed_seq")
			mustExec(t, d.raw(t), "INSERT INTO m2m_feed_seq (id, seq) VALUES (1, 1)")
			if err := store.Ready(t.Context()); err != nil {
				t.Errorf("%s: repaired: %v", name, err)
			}
			if s := store.Status(); s.WriteError != nil {
				t.Errorf("%s: repaired: %+v", name, s)
			}
		}
	})
}

// After a failed write the store is not ready until a write to the same table succeeds,
// even if others do.
func TestReadyAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	store := d.open(t)
	db := d.raw(t)
	refuse := func(table string) (mend func()) {
		mustExec(t, db, "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$")
		mustExec(t, db, "CREATE TRIGGER refuse BEFORE INSERT ON "+table+" FOR EACH ROW EXECUTE FUNCTION refuse()")
		return func() { mustExec(t, db, "DROP TRIGGER refuse ON "+table) }
	}
	revoking := func() error {
		_, err := store.Revoke(t.Context(), token(fmt.Sprint(time.Now().UnixNano()), time.Now().Add(time.Hour)))
		return err
	}
	recording := func() error {
		_, err := store.Once(t.Context(), "s", fmt.Sprint(time.Now().UnixNano()), time.Now().Add(time.Hour))
		return err
	}
	for table, writes := range map[string][2]func() error{"m2m_feed": {revoking, recording}, "m2m_once": {recording, revoking}} {
		mend := refuse(table)
		if err := writes[0](); err == nil {
			t.Fatalf("%s: a write was acknowledged", table)
		}
		if err := writes[1](); err != nil {
			t.Errorf("%s: another write: %v", table, err)
		}
		for range 2 {
			if err := store.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("%s: Ready: %v", table, err)
			}
			if err := store.Status().WriteError; err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("%s: Status: %v", table, err)
			}
		}
		mend()
		if err := store.Ready(t.Context()); err != nil || store.Status().WriteError != nil {
			t.Errorf("%s: repaired: %v, %v", table, err, store.Status().WriteError)
		}
	}
	for table, want := range map[string]int{"m2m_feed WHERE token_id = ''": 0, "m2m_once WHERE length(digest) < 32": 0} {
		if n := count(t, db, table); n != want {
			t.Errorf("Ready has left %d rows in %s", n, table)
		}
	}
}

// After damage was found, no write is acknowledged and the store is not ready, until the
// database is opened again.
func TestDamagedWhileOpen(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(f *os.File, size int64) error{
		"pages":   overwritePages,
		"cut off": func(f *os.File, _ int64) error { return f.Truncate(8192) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sqliteFile(t)
			store, err := d.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			register(t, store, registry.Client{ID: "c"})
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if store, err = d.connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			f, err := os.OpenFile(d.source, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(f, info.Size()); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Client(t.Context(), "c"); err == nil || errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "damaged: restore a backup") {
				t.Fatalf("a read: %v", err)
			}
			for range 2 {
				_, errRevoke := store.Revoke(t.Context(), registry.CutOff("c"))
				_, errRegister := store.Register(t.Context(), registry.Client{ID: "new"})
				_, errOnce := store.Once(t.Context(), "s", "i", time.Now().Add(time.Hour))
				for method, err := range map[string]error{"Revoke": errRevoke, "Register": errRegister, "Once": errOnce, "Ready": store.Ready(t.Context()), "Status": store.Status().Damaged} {
					if err == nil || !strings.Contains(err.Error(), "damaged: restore a backup") {
						t.Errorf("%s: %v", method, err)
					}
				}
			}
		})
	}
}

func overwritePages(f *os.File, size int64) error {
	for at := int64(4096); at < size; at += 4096 {
		if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 5)), at); err != nil {
			return err
		}
	}
	return nil
}
