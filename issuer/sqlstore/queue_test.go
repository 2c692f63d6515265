package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// byMany runs do in 50 goroutines.
func byMany(t *testing.T, do func(i int) error) {
	t.Helper()
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			if err := do(i); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// lockFeed takes the feed's last row, until release.
func lockFeed(t *testing.T, d database) (release func()) {
	t.Helper()
	conn, err := d.raw(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"BEGIN", "UPDATE m2m_feed_seq SET seq = seq WHERE id = 1"} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	}
}

// Revocations that wait for the feed leave connections for reads of clients, and an
// operator's revocation overtakes most of them.
func TestFeedQueue(t *testing.T) {
	t.Parallel()
	d := postgres(t)
	store := d.open(t)
	register(t, store, registry.Client{ID: "c"})
	release := lockFeed(t, d)
	var flood sync.WaitGroup
	var mu sync.Mutex
	var flooded []int64
	for i := range 200 {
		flood.Go(func() {
			sequence, err := store.Revoke(t.Context(), floodOf(i))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			flooded = append(flooded, sequence)
			mu.Unlock()
		})
	}
	raw := d.raw(t)
	awaitFeed(t, raw, 2) // requests may have two connections that write to the feed
	for i := range 10 {
		soon, done := context.WithTimeout(t.Context(), 1900*time.Millisecond) // a writer gives up after 2 s
		if _, err := store.Client(soon, "c"); err != nil {
			t.Errorf("a client: %v", err)
		}
		if first, err := store.Once(soon, "s", fmt.Sprint(i), time.Now().Add(time.Hour)); err != nil || !first {
			t.Errorf("a replay record: %v, %v", first, err)
		}
		done()
	}
	var cut int64
	flood.Go(func() {
		var err error
		if cut, err = store.Revoke(registry.AsOperator(t.Context()), registry.CutOff("c")); err != nil {
			t.Error(err)
		}
	})
	awaitFeed(t, raw, 3)
	release()
	flood.Wait()
	earlier := 0
	for _, sequence := range flooded {
		if sequence < cut {
			earlier++
		}
	}
	if earlier > 20 {
		t.Errorf("%d of 200 revocations went before the operator's", earlier)
	}
}

// awaitFeed returns when so many transactions wait for the feed's last row.
func awaitFeed(t *testing.T, raw *sql.DB, waiters int) {
	t.Helper()
	const query = "SELECT count(*) FROM pg_locks WHERE locktype = 'tuple' AND relation = 'm2m_feed_seq'::regclass"
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		var n int
		if err := raw.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == waiters {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d transactions wait for the feed, want %d", n, waiters)
		}
	}
}

// floodOf returns a change that clients can cause: a revocation of a token, or the cut-off
// of a client that has revoked too many.
func floodOf(i int) registry.Change {
	if i%4 == 0 {
		return registry.CutOff(fmt.Sprint("hostile", i))
	}
	return token(fmt.Sprint(i), time.Now().Add(time.Hour))
}

// While requests hold all their connections, an operator can read clients and revoke.
// Nothing that requests cause uses the operator's connections.
func TestOperatorPool(t *testing.T) {
	t.Parallel()
	store := postgres(t).open(t)
	register(t, store, registry.Client{ID: "c"})
	for held, mine := range map[string]func(context.Context) context.Context{
		"requests": registry.AsOperator,
		"operator": func(ctx context.Context) context.Context { return ctx },
	} {
		release := holdPool(t, store.Pools()[held])
		within := func(call string, do func(ctx context.Context) error) {
			bound, cancel := context.WithTimeout(mine(t.Context()), 10*time.Second)
			defer cancel()
			if err := do(bound); err != nil {
				t.Errorf("while the connections of %s are held: %s: %v", held, call, err)
			}
		}
		within("Client", func(ctx context.Context) error { _, err := store.Client(ctx, "c"); return err })
		for _, c := range []registry.Change{token("a", time.Now().Add(time.Hour)), registry.CutOff("c"), {Kind: registry.SecretCutOff, ClientID: "c", SecretID: "s"}, {Kind: registry.AllCutOff}} {
			within(c.Kind.String(), func(ctx context.Context) error { _, err := store.Revoke(ctx, c); return err })
		}
		release()
	}
}

// Readers leave a connection of SQLite's pool to the writer, for which all others wait.
func TestReadersLeaveAConnection(t *testing.T) {
	t.Parallel()
	store := sqliteFile(t).open(t)
	register(t, store, registry.Client{ID: "c"})
	store.WaitForSweep() // which is a writer
	db := store.Pools()["requests"]
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 * db.Stats().MaxOpenConnections {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := store.Client(t.Context(), "c"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	most := 0
	for begun := time.Now(); time.Since(begun) < 300*time.Millisecond; {
		most = max(most, db.Stats().InUse)
	}
	close(stop)
	readers.Wait()
	if limit := db.Stats().MaxOpenConnections - 1; most > limit {
		t.Errorf("readers took %d connections, want at most %d", most, limit)
	}
}

// holdPool takes all connections of a pool, until release.
func holdPool(t *testing.T, db *sql.DB) (release func()) {
	t.Helper()
	var conns []*sql.Conn
	for range db.Stats().MaxOpenConnections {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// A cut-off of a client replaces the revocations of its tokens. They are deleted, and no
// others.
func TestCutOffReplacesRevocations(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		db := d.raw(t)
		insertFeed(t, db, 1, 2*sqlstore.SweepRows+3, time.Now().Add(time.Hour)) // of client c
		mine, other := token("mine", time.Now().Add(time.Hour)), token("other", time.Now().Add(time.Hour))
		mine.ClientID, other.ClientID = "c", "d"
		for _, c := range []registry.Change{mine, other, token("nobody's", time.Now().Add(time.Hour)), {Kind: registry.SecretCutOff, ClientID: "c", SecretID: "s"}, {Kind: registry.ClientChanged, ClientID: "c"}} {
			revoke(t, store, c)
		}
		revoke(t, store, registry.CutOff("c"))
		mine.TokenID = "later"
		revoke(t, store, mine)
		for deadline := time.Now().Add(30 * time.Second); count(t, db, "m2m_feed") != 6 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		page, err := store.Changes(t.Context(), 0)
		got := ""
		for _, c := range page.Changes {
			got += fmt.Sprint(c.Kind, " ", c.TokenID, c.SecretID, ", ")
		}
		if want := "token revoked other, token revoked nobody's, secret cut off s, client changed , client cut off , token revoked later, "; err != nil || got != want {
			t.Errorf("%d changes, %v: got %.300s, want %s", len(page.Changes), err, got, want)
		}
	})
}
