package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

const day = 24 * time.Hour

// wrongBy are the errors of a clock.
var wrongBy = []time.Duration{2 * time.Hour, -2 * time.Hour, 40 * day, -40 * day}

// revokedIn fails unless the feed has the token.
func revokedIn(t *testing.T, store *sqlstore.Store, id string) {
	t.Helper()
	page, err := store.Changes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range page.Changes {
		if c.TokenID == id {
			return
		}
	}
	t.Errorf("the revocation of %q is gone from the feed", id)
}

// A replica whose clock differs from the database's destroys nothing, writes only what takes
// access away, and reports it. When its clock is right again it works as before.
func TestClockOffTheDatabase(t *testing.T) {
	t.Parallel()
	for _, by := range wrongBy {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			d := postgres(t)
			store := d.open(t)
			ctx := t.Context()
			_, passing := registry.GenerateSecret()
			_, second := registry.GenerateSecret()
			passing.ExpiresAt = time.Now().Add(time.Hour)
			c := register(t, store, registry.Client{ID: "c", Secrets: []registry.Secret{passing, second}})
			register(t, store, registry.Client{ID: "d"})
			revoke(t, store, token("before", time.Now().Add(time.Hour)))
			if first, err := store.Once(ctx, "s", "i", time.Now().Add(time.Hour)); err != nil || !first {
				t.Fatal(first, err)
			}
			if err := store.Ready(ctx); err != nil {
				t.Fatal(err)
			}

			store.ShiftClock(by)
			page, err := store.Changes(ctx, 0)
			if err != nil || time.Since(page.Now).Abs() > time.Minute {
				t.Errorf("the page of %v: %v", page.Now, err)
			}
			if off := store.Status().ClockOffset - by; off.Abs() > time.Minute {
				t.Errorf("the offset %v is %v away", by, off)
			}
			if err := store.Ready(ctx); !errors.Is(err, registry.ErrClockSkew) {
				t.Errorf("Ready: %v", err)
			}
			_, errRegister := store.Register(ctx, registry.Client{ID: "new"})
			_, errUpdate := store.Update(ctx, c)
			_, errRotate := store.RotateSecret(ctx, "c", registry.Rotation{Overlap: time.Hour})
			_, errOnce := store.Once(ctx, "s", "other", time.Now().Add(by+time.Hour))
			_, third := registry.GenerateSecret()
			for method, err := range map[string]error{
				"Register": errRegister, "Update": errUpdate, "RotateSecret": errRotate, "Once": errOnce,
				"AddSecret":   store.AddSecret(ctx, "c", third),
				"SecretsUsed": store.SecretsUsed(ctx, []registry.SecretUse{{ClientID: "c", SecretID: second.ID, At: time.Now().Add(by)}}),
				"Succeeded":   store.Succeeded(ctx, []registry.ClientNetwork{{ClientID: "c", Network: "n", At: time.Now().Add(by)}}),
			} {
				if !errors.Is(err, registry.ErrClockSkew) {
					t.Errorf("%s: %v, want registry.ErrClockSkew", method, err)
				}
			}
			revoke(t, store, token("during", time.Now().Add(time.Hour)))
			revoke(t, store, registry.CutOff("d"))
			if _, err := store.RotateSecret(ctx, "d", registry.Rotation{Revoke: true}); err != nil {
				t.Errorf("a rotation that revokes: %v", err)
			}
			if err := store.RemoveSecret(ctx, "c", second.ID, true); err != nil {
				t.Errorf("RemoveSecret: %v", err)
			}
			disabled := register(t, d.open(t), registry.Client{ID: "e"}) // a replica whose clock is right
			disabled.Disabled = true
			if _, err := store.Update(ctx, disabled); err != nil {
				t.Errorf("disabling: %v", err)
			}
			if err := store.Delete(ctx, "d"); err != nil {
				t.Errorf("Delete: %v", err)
			}
			store.Sweep()

			store.ShiftClock(0)
			if err := store.Ready(ctx); err != nil {
				t.Errorf("the clock is right again: %v", err)
			}
			if found, err := store.Client(ctx, "c"); err != nil || len(found.Secrets) != 1 || found.Secrets[0].ID != passing.ID {
				t.Errorf("the secret that has an hour left: %+v, %v", found, err)
			}
			revokedIn(t, store, "before")
			revokedIn(t, store, "during")
			if first, err := store.Once(ctx, "s", "i", time.Now().Add(time.Hour)); err != nil || first {
				t.Errorf("the replay record is gone: %v, %v", first, err)
			}
			if _, err := store.RotateSecret(ctx, "c", registry.Rotation{Overlap: time.Hour}); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// On SQLite a clock that jumps ahead makes entries expire and deletes none. One that jumps
// back makes no expired entry valid. When the clock is right again everything is as it
// was, and the sequences of the time between do no harm.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, by := range wrongBy {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			d := sqliteFile(t)
			store := d.open(t)
			ctx := t.Context()
			_, passing := registry.GenerateSecret()
			_, gone := registry.GenerateSecret()
			passing.ExpiresAt, gone.ExpiresAt = time.Now().Add(time.Hour), time.Now().Add(time.Millisecond)
			register(t, store, registry.Client{ID: "c", Secrets: []registry.Secret{passing, gone}})
			revoke(t, store, token("before", time.Now().Add(time.Hour)))
			once := func() {
				t.Helper()
				if first, err := store.Once(ctx, "s", "i", time.Now().Add(time.Hour)); err != nil || first {
					t.Errorf("the replay record is gone: %v, %v", first, err)
				}
			}
			if first, err := store.Once(ctx, "s", "i", time.Now().Add(time.Hour)); err != nil || !first {
				t.Fatal(first, err)
			}
			time.Sleep(5 * time.Millisecond)

			store.ShiftClock(by)
			c, err := store.Client(ctx, "c")
			want := 1 // the other has expired, also for a clock that went back
			if by > 0 {
				want = 0
			}
			if err != nil || len(c.Secrets) != want {
				t.Errorf("%d secrets, %v, want %d", len(c.Secrets), err, want)
			}
			if off := store.Status().ClockOffset - by; off.Abs() > time.Minute {
				t.Errorf("the offset of %v is %v away", by, off)
			}
			once()
			store.Sweep()
			revokedIn(t, store, "before")
			number := revoke(t, store, token("during", time.Now().Add(time.Hour)))
			if err := store.SecretsUsed(ctx, []registry.SecretUse{{ClientID: "c", SecretID: passing.ID, At: time.Now().Add(by)}}); err != nil {
				t.Error(err)
			}

			store.ShiftClock(0)
			if ahead := store.Status().Ahead; (ahead > time.Hour) != (by > 0) {
				t.Errorf("the feed is %v ahead", ahead)
			}
			store.Sweep()
			c, err = store.Client(ctx, "c")
			if err != nil || len(c.Secrets) != 1 || c.Secrets[0].ID != passing.ID {
				t.Errorf("the secret that has an hour left: %+v, %v", c, err)
			}
			once()
			revokedIn(t, store, "before")
			if next := revoke(t, store, registry.CutOff("c")); next <= number {
				t.Errorf("sequence %d after %d", next, number)
			}
			revokedIn(t, store, "during")
			used := time.Now()
			if err := store.SecretsUsed(ctx, []registry.SecretUse{{ClientID: "c", SecretID: passing.ID, At: used}}); err != nil {
				t.Error(err)
			}
			if c, err = store.Client(ctx, "c"); err != nil || c.Secrets[0].LastUsedAt.Sub(used).Abs() > time.Second {
				t.Errorf("a time of use in the future hides the real one: %+v, %v", c, err)
			}
			if off := store.Status().ClockOffset; off != 0 {
				t.Errorf("the clock is right again, and its offset %v", off)
			}
		})
	}
}

// On SQLite a clock that has run evenly for a day after a jump is trusted.
func TestClockSteadyForADay(t *testing.T) {
	t.Parallel()
	d := sqliteFile(t)
	store := d.open(t)
	revoke(t, store, token("old", time.Now().Add(time.Hour)))
	store.ShiftClock(40 * day)
	if store.Sweep(); count(t, d.raw(t), "m2m_feed WHERE token_id = 'old'") != 1 {
		t.Error("the jump has destroyed a revocation")
	}
	store.PassDay()
	if store.Sweep(); count(t, d.raw(t), "m2m_feed WHERE token_id = 'old'") != 0 {
		t.Error("the clock is not trusted after a day")
	}
}

// On SQLite a start with a clock that shows more than a day after the last write
// destroys nothing for a day, nor does another start within that day.
func TestClockJumpedWhileStopped(t *testing.T) {
	t.Parallel()
	for name, ago := range map[string]func(t *testing.T, d database){
		"clock kept": func(t *testing.T, d database) {
			then := time.Now().Add(-40 * day).UnixMilli()
			mustExec(t, d.raw(t), fmt.Sprintf("UPDATE m2m_clock SET wall = %d, trusted = %d", then, then))
		},
		"clock not kept": func(t *testing.T, d database) { // by an older release
			mustExec(t, d.raw(t), "DELETE FROM m2m_clock")
			mustExec(t, d.raw(t), fmt.Sprintf("UPDATE m2m_feed_seq SET seq = %d", time.Now().Add(-40*day).UnixMicro()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sqliteFile(t)
			store, err := d.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			revoke(t, store, token("expired", time.Now().Add(-2*day)))
			store.Sweep()
			revoke(t, store, token("x", time.Now().Add(-2*day)))
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			mustExec(t, d.raw(t), "DELETE FROM m2m_feed")
			insertFeed(t, d.raw(t), 1, 1, time.Now().Add(-2*day))
			ago(t, d)
			for start := range 3 {
				store, err := d.connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				store.Sweep()
				n := count(t, d.raw(t), "m2m_feed WHERE token_id = 'jti-1'")
				if start < 2 && n != 1 {
					t.Errorf("start %d: destroyed", start)
				}
				if start == 2 {
					store.PassDay()
					if store.Sweep(); count(t, d.raw(t), "m2m_feed WHERE token_id = 'jti-1'") != 0 {
						t.Error("a day later the clock is not trusted")
					}
				}
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Open works while this machine's clock is wrong, and Ready reports that.
func TestOpenWithTheClockOff(t *testing.T) {
	t.Parallel()
	for _, by := range wrongBy {
		store := ahead(t, -by).open(t)
		if err := store.Ready(context.Background()); !errors.Is(err, registry.ErrClockSkew) || !strings.Contains(err.Error(), "NTP") {
			t.Errorf("%v: %v", by, err)
		}
		if off := store.Status().ClockOffset - by; off.Abs() > time.Minute {
			t.Errorf("%v: the offset is %v away", by, off)
		}
	}
}
