package sqlstore_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// holdUp is much longer than a replica that vanishes may hold up the others. The server's
// limits, which TestFrozenInTransaction reads, keep that under 3 s. Without them the
// others would wait forever.
const holdUp = 20 * time.Second

// A replica that locks the feed's last row and a client's, and is frozen then, holds up the
// others only until the server ends its transaction.
func TestFrozenInTransaction(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	frozen, healthy := d.open(t), d.open(t)
	c := register(t, healthy, registry.Client{ID: "c"})
	for name, db := range frozen.Pools() {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{"BEGIN", "UPDATE m2m_clients SET name = 'frozen'", "UPDATE m2m_feed_seq SET seq = seq + 1 WHERE id = 1"} {
			if _, err := conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %s: %v", name, statement, err)
			}
		}
		var idle string
		if err := conn.QueryRowContext(t.Context(), "SHOW idle_in_transaction_session_timeout").Scan(&idle); err != nil || idle != "1500ms" {
			t.Errorf("%s: an idle transaction ends after %s, %v, want 1500ms", name, idle, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), holdUp)
		begun := time.Now()
		if _, err := healthy.Revoke(ctx, token(name, time.Now().Add(time.Hour))); err != nil {
			t.Errorf("%s: a revocation, after %v: %v", name, time.Since(begun), err)
		}
		if _, err := healthy.Revoke(ctx, registry.CutOff("c")); err != nil {
			t.Errorf("%s: the operator, after %v: %v", name, time.Since(begun), err)
		}
		if c, err = healthy.Update(ctx, c); err != nil {
			t.Errorf("%s: the operator, after %v: %v", name, time.Since(begun), err)
		}
		if err := healthy.SecretsUsed(ctx, []registry.SecretUse{{ClientID: "c", SecretID: "s", At: time.Now()}}); err != nil {
			t.Errorf("%s: uses, after %v: %v", name, time.Since(begun), err)
		}
		t.Logf("%s: held up for %v", name, time.Since(begun))
		cancel()
		if _, err := conn.ExecContext(t.Context(), "COMMIT"); err == nil {
			t.Errorf("%s: the frozen transaction was committed", name)
		}
		_ = conn.Close()
	}
}

// A replica that loses its connection to the database in the middle of writes, of every
// kind and at any moment, holds up the others only for a short time.
func TestVanishesInMidWrite(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	healthy := d.open(t)
	register(t, healthy, registry.Client{ID: "c"})
	source, err := url.Parse(d.source)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 6 {
		w := newWire(t, source.Host)
		through := *source
		through.Host = w.Addr().String()
		far := database{d.driver, through.String()}.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for i := range 4 {
			writers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					_, _ = far.Revoke(ctx, token(fmt.Sprint(round, i, n), time.Now().Add(time.Hour)))
					_, _ = far.RotateSecret(ctx, "c", registry.Rotation{Overlap: time.Hour})
					_ = far.SecretsUsed(ctx, []registry.SecretUse{{ClientID: "c", SecretID: "s", At: time.Now()}})
				}
			})
		}
		time.Sleep(200*time.Millisecond + time.Duration(round)*3*time.Millisecond)
		w.set(false, true)
		begun := time.Now()
		soon, done := context.WithTimeout(t.Context(), holdUp)
		if _, err := healthy.Revoke(soon, token("healthy", time.Now().Add(time.Hour))); err != nil {
			t.Errorf("a revocation, after %v: %v", time.Since(begun), err)
		}
		if _, err := healthy.RotateSecret(soon, "c", registry.Rotation{}); err != nil {
			t.Errorf("the operator, after %v: %v", time.Since(begun), err)
		}
		done()
		t.Logf("held up for %v", time.Since(begun))
		cancel()
		writers.Wait()
		w.set(true, false)
	}
}

// After a failover that was not announced all connections are dead. Each pool opens a new one
// after one timeout.
func TestSilentFailover(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	source, err := url.Parse(d.source)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, source.Host)
	source.Host = w.Addr().String()
	d.source = source.String()
	store := d.open(t)
	register(t, store, registry.Client{ID: "c"})
	for name, db := range store.Pools() { // fill the pools
		var busy sync.WaitGroup
		for range db.Stats().MaxOpenConnections {
			busy.Go(func() {
				if _, err := db.ExecContext(t.Context(), "SELECT pg_sleep(0.2)"); err != nil {
					t.Error(err)
				}
			})
		}
		busy.Wait()
		for deadline := time.Now().Add(30 * time.Second); db.Stats().Idle != db.Stats().MaxOpenConnections; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", name, db.Stats())
			}
		}
	}
	time.Sleep(1100 * time.Millisecond) // the driver pings a connection before use if it was idle for 1 s
	w.lose()
	var pools sync.WaitGroup
	for name, call := range map[string]func(context.Context) error{
		"requests": func(ctx context.Context) error { _, err := store.Client(ctx, "c"); return err },
		"follower": func(ctx context.Context) error { _, err := store.Changes(ctx, 0); return err },
		"operator": func(ctx context.Context) error { _, err := store.Revoke(ctx, registry.CutOff("c")); return err },
	} {
		pools.Go(func() {
			begun, calls := time.Now(), 0
			for err := context.DeadlineExceeded; err != nil && calls < 20; calls++ {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				err = call(ctx)
				cancel()
			}
			t.Logf("%s: %d calls, %v", name, calls, time.Since(begun))
			if calls > 3 {
				t.Errorf("%s: an answer came after %d calls and %v", name, calls, time.Since(begun))
			}
		})
	}
	pools.Wait()
}
