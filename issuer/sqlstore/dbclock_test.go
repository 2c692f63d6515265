package sqlstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// settable is a database whose clock can be set ahead.
func settable(t *testing.T) (d database, set func(time.Duration)) {
	t.Helper()
	d = postgres(t)
	db := d.raw(t)
	mustExec(t, db, "CREATE TABLE clock_off (by interval NOT NULL)")
	mustExec(t, db, "INSERT INTO clock_off VALUES ('0')")
	mustExec(t, db, "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE SQL VOLATILE AS $$ SELECT pg_catalog.clock_timestamp() + (SELECT by FROM clock_off) $$")
	return beforeCatalog(t, d), func(by time.Duration) {
		t.Helper()
		mustExec(t, db, "UPDATE clock_off SET by = interval '"+by.String()+"'")
	}
}

// A database's clock that is wrong for a moment, alone or together with this machine's,
// destroys nothing: neither in a running process nor in one that starts in that moment.
// Revocations of that moment stay valid.
func TestDatabaseClockWrongForAMoment(t *testing.T) {
	t.Parallel()
	for _, by := range wrongBy {
		for name, machine := range map[string]time.Duration{"alone": 0, "with the machine's": by} {
			t.Run(fmt.Sprint(by, " ", name), func(t *testing.T) {
				t.Parallel()
				d, set := settable(t)
				store := d.open(t)
				until := time.Now().Add(90 * time.Minute)
				_, passing := registry.GenerateSecret()
				passing.ExpiresAt = until
				register(t, store, registry.Client{ID: "c", Secrets: []registry.Secret{passing}})
				revoke(t, store, token("stolen", until))
				revoke(t, store, registry.CutOff("gone"))
				once := func(store *sqlstore.Store) {
					t.Helper()
					if first, err := store.Once(t.Context(), "dpop", "proof", until); err == nil && first {
						t.Error("a replayed proof is accepted")
					}
				}
				if first, err := store.Once(t.Context(), "dpop", "proof", until); err != nil || !first {
					t.Fatal(first, err)
				}
				store.Sweep()

				set(by)
				store.ShiftClock(machine)
				once(store) // before anything has compared the clocks
				revoke(t, store, token("during", until))
				revoke(t, store, registry.CutOff("during"))
				store.Sweep()
				revokedIn(t, store, "stolen")
				if err := store.Ready(t.Context()); errors.Is(err, registry.ErrClockSkew) != (machine == 0) {
					t.Errorf("Ready: %v", err)
				}
				if _, err := store.Register(t.Context(), registry.Client{ID: "new"}); errors.Is(err, registry.ErrClockSkew) != (machine == 0) {
					t.Errorf("Register: %v", err)
				}
				other := d.open(t)
				other.ShiftClock(machine)
				once(other)
				revoke(t, other, token("at a start", until))
				other.Sweep()
				revokedIn(t, other, "stolen")

				set(0)
				store.ShiftClock(0)
				other.ShiftClock(0)
				for _, store := range []*sqlstore.Store{store, other, d.open(t)} {
					store.Sweep()
					for _, id := range []string{"stolen", "during", "at a start"} {
						revokedIn(t, store, id)
					}
					page, err := store.Changes(t.Context(), 0)
					cut := map[string]time.Time{}
					for _, c := range page.Changes {
						if c.Kind == registry.ClientCutOff {
							cut[c.ClientID] = c.ExpiresAt
						}
					}
					if err != nil || time.Until(cut["gone"]) < registry.CutOffLifetime-time.Minute || time.Until(cut["during"]) < registry.CutOffLifetime-time.Minute {
						t.Errorf("cut-offs that last until %v, %v", cut, err)
					}
					once(store)
					if c, err := store.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 1 {
						t.Errorf("the secret that has an hour left: %+v, %v", c, err)
					}
					if err := store.Ready(t.Context()); err != nil {
						t.Errorf("the clocks are right again: %v", err)
					}
				}
			})
		}
	}
}

// A database's clock that has jumped together with this machine's is trusted after it has
// run evenly for a day, also by processes that start within that day.
func TestDatabaseClockSteadyForADay(t *testing.T) {
	t.Parallel()
	d, set := settable(t)
	store := d.open(t)
	revoke(t, store, token("old", time.Now().Add(time.Hour)))
	store.Sweep()
	set(40 * day)
	store.ShiftClock(40 * day)
	if store.Sweep(); count(t, d.raw(t), "m2m_feed WHERE token_id = 'old'") != 1 {
		t.Error("the jump has destroyed a revocation")
	}
	other := d.open(t)
	other.ShiftClock(40 * day)
	if other.Sweep(); count(t, d.raw(t), "m2m_feed WHERE token_id = 'old'") != 1 {
		t.Error("a start after the jump has destroyed a revocation")
	}
	for _, s := range []*sqlstore.Store{store, other} {
		if off := s.Status().DatabaseClockJump - 40*day; off.Abs() > time.Minute {
			t.Errorf("the jump is %v away from 40 days", off)
		}
	}
	store.PassDay()
	if store.Sweep(); count(t, d.raw(t), "m2m_feed WHERE token_id = 'old'") != 0 {
		t.Error("the clock is not trusted after a day")
	}
	if jump := store.Status().DatabaseClockJump; jump != 0 {
		t.Errorf("the clock is trusted, and still has a jump of %v", jump)
	}
}
