package sqlstore_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// ahead makes the database's clock differ from this process's.
func ahead(t *testing.T, by time.Duration) database {
	t.Helper()
	d := postgres(t)
	mustExec(t, d.raw(t), "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE SQL VOLATILE AS $$ SELECT pg_catalog.clock_timestamp() + interval '"+by.String()+"' $$")
	return beforeCatalog(t, d)
}

// beforeCatalog makes functions of the database's schema replace those of PostgreSQL.
func beforeCatalog(t *testing.T, d database) database {
	t.Helper()
	source, err := url.Parse(d.source)
	if err != nil {
		t.Fatal(err)
	}
	query := source.Query()
	query.Set("search_path", query.Get("search_path")+",pg_catalog")
	source.RawQuery = query.Encode()
	d.source = source.String()
	return d
}

// The database's clock decides how long revocations last and what is deleted. A process
// whose clock is wrong deletes nothing.
func TestDatabaseClock(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"ahead": 40 * day, "behind": -40 * day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := ahead(t, by)
			store := d.open(t)
			store.ShiftClock(by) // this machine agrees with the database
			there := func() time.Time { return time.Now().Add(by) }
			_, passing := registry.GenerateSecret()
			passing.ExpiresAt = there().Add(time.Hour)
			c := register(t, store, registry.Client{ID: "c", Secrets: []registry.Secret{passing}})
			before := end(t, store)
			if drift := time.UnixMicro(before).Sub(there()).Abs(); drift > time.Minute {
				t.Errorf("the sequence is %v away from the database's clock", drift)
			}
			c.Disabled = true
			if _, err := store.Update(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			page, err := store.Changes(t.Context(), before)
			if err != nil || len(page.Changes) != 1 {
				t.Fatalf("%+v, %v", page, err)
			}
			if drift := (page.Changes[0].ExpiresAt.Sub(there()) - registry.CutOffLifetime).Abs(); drift > time.Minute {
				t.Errorf("the cut-off expires at %v, %v away", page.Changes[0].ExpiresAt, drift)
			}
			revoke(t, store, token("live", there().Add(time.Hour)))
			revoke(t, store, token("kept", there().Add(-time.Hour)))
			revoke(t, store, token("gone", there().Add(-day-time.Hour)))
			if first, err := store.Once(t.Context(), "s", "live", there().Add(time.Hour)); err != nil || !first {
				t.Fatal(first, err)
			}
			if err := store.Succeeded(t.Context(), []registry.ClientNetwork{{ClientID: "c", Network: "n", At: there().Add(-29 * day)}}); err != nil {
				t.Fatal(err)
			}
			store.Sweep()
			if page, err = store.Changes(t.Context(), page.End); err != nil || len(page.Changes) != 1 || page.Changes[0].TokenID != "live" {
				t.Errorf("%+v, %v, want the live revocation", page, err)
			}
			if n := count(t, d.raw(t), "m2m_feed WHERE token_id <> ''"); n != 2 {
				t.Errorf("%d revocations, want 2: one is kept a day longer", n)
			}
			if first, err := store.Once(t.Context(), "s", "live", there().Add(time.Hour)); err != nil || first {
				t.Errorf("a replay record that has not expired is gone: %v, %v", first, err)
			}
			if networks, err := store.Networks(t.Context(), "c"); err != nil || len(networks) != 1 {
				t.Errorf("networks: %q, %v", networks, err)
			}
			if c, err := store.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 1 {
				t.Errorf("the secret is gone: %+v, %v", c, err)
			}
			if _, err := store.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Minute}); err != nil {
				t.Fatal(err)
			}
			if c, err := store.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 2 || (c.Secrets[0].ExpiresAt.Sub(there())-time.Minute).Abs() > time.Minute {
				t.Errorf("rotated: %+v, %v", c, err)
			}
		})
	}
}

// A database whose transactions are serializable by default serves many writers.
func TestSerializableByDefault(t *testing.T) {
	t.Parallel()
	d := with(t, postgres(t), "default_transaction_isolation", "serializable")
	stores := []*sqlstore.Store{d.open(t), d.open(t), d.open(t), d.open(t)}
	register(t, stores[0], registry.Client{ID: "c"})
	byMany(t, func(i int) error {
		for n := range 5 {
			if _, err := stores[i%4].Revoke(t.Context(), token(fmt.Sprint(i, n), time.Now().Add(time.Hour))); err != nil {
				return err
			}
			if _, err := stores[i%4].Revoke(t.Context(), registry.CutOff("c")); err != nil {
				return err
			}
		}
		return nil
	})
}
