package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// insertFeed adds revoked tokens behind the store's back, numbered from first.
func insertFeed(t *testing.T, db *sql.DB, first, n int, expires time.Time) {
	t.Helper()
	for from := first; from < first+n; from += 1000 {
		var rows []string
		for i := from; i < min(from+1000, first+n); i++ {
			rows = append(rows, fmt.Sprintf("(%d,'jti-%d','c',FALSE,0,%d)", i, i, expires.UnixMilli()))
		}
		mustExec(t, db, "INSERT INTO m2m_feed VALUES "+strings.Join(rows, ","))
	}
	mustExec(t, db, fmt.Sprintf("UPDATE m2m_feed_seq SET seq = %d", first+n-1))
}

func TestFeedByPages(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		const n = sqlstore.PageOfFeed + 1
		insertFeed(t, d.raw(t), 1, n, time.Now().Add(time.Hour))
		var since int64
		for _, want := range []int{sqlstore.PageOfFeed, 1, 0} {
			page, err := store.Revocations(t.Context(), since)
			if err != nil || len(page) != want {
				t.Fatalf("after %d: %d entries, %v, want %d", since, len(page), err, want)
			}
			for _, r := range page {
				if since++; r.Sequence != since || r.TokenID != fmt.Sprintf("jti-%d", since) {
					t.Fatalf("got %+v, want the one with sequence %d", r, since)
				}
			}
		}
	})
}

// A database that was restored to an earlier time says so; a follower that
// waited for new numbers would miss what was revoked meanwhile.
func TestFeedSetBack(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		for range 3 {
			register(t, store, registry.Client{ID: fmt.Sprint(time.Now().UnixNano())})
		}
		last := end(t, store)
		if page, err := store.Revocations(t.Context(), last); err != nil || len(page) != 0 {
			t.Errorf("at its end: %v, %v", page, err)
		}
		if page, err := store.Revocations(t.Context(), last+1); !errors.Is(err, registry.ErrConflict) || page != nil {
			t.Errorf("beyond its end: %v, %v, want registry.ErrConflict", page, err)
		}
		// Set back by more than is then written: what is written has new numbers.
		db := d.raw(t)
		for _, statement := range []string{"DELETE FROM m2m_feed", "UPDATE m2m_feed_seq SET seq = 0"} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Revoke(t.Context(), registry.Revocation{TokenID: "new", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if page, err := store.Revocations(t.Context(), last); err != nil || len(page) != 1 || page[0].TokenID != "new" {
			t.Errorf("a follower that was at %d gets %v, %v", last, page, err)
		}
	})
}

func TestRevokeRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		later := time.Now().Add(time.Hour)
		for what, r := range map[string]registry.Revocation{
			"nothing":   {ExpiresAt: later, NotBefore: time.Now()},
			"no expiry": {TokenID: "x"},
			"too long":  {TokenID: strings.Repeat("x", 513), ExpiresAt: later},
			"NUL":       {TokenID: "\x00", ExpiresAt: later},
			"not UTF-8": {ClientID: "\xff", ExpiresAt: later},
		} {
			if err := store.Revoke(t.Context(), r); err == nil || !strings.HasPrefix(err.Error(), "sqlstore: Revocation") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := store.Revoke(t.Context(), registry.Revocation{TokenID: strings.Repeat("é", 256), ClientID: strings.Repeat("x", 256), ExpiresAt: later}); err != nil {
			t.Errorf("the longest: %v", err)
		}
		before := end(t, store)
		// A cut-off long ago revokes nothing, and is no change of the record.
		if err := store.Revoke(t.Context(), registry.Revocation{ClientID: "c", NotBefore: time.Unix(0, 0), ExpiresAt: later}); err != nil {
			t.Fatal(err)
		}
		if page, err := store.Revocations(t.Context(), before); err != nil || len(page) != 1 || page[0].NotBefore.IsZero() || page[0].NotBefore.Unix() > 0 {
			t.Errorf("got %+v, %v", page, err)
		}
	})
}

// However often the same is revoked, it takes one row.
func TestFeedDoesNotGrowByRepetition(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		later := time.Now().Add(time.Hour)
		for range 10 {
			for _, r := range []registry.Revocation{
				{TokenID: "t", ClientID: "c", ExpiresAt: later}, {ClientID: "c", NotBefore: time.Now(), ExpiresAt: later}, {ClientID: "c", ExpiresAt: later},
			} {
				if err := store.Revoke(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := store.RotateSecret(t.Context(), "c", 0, ""); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, d.raw(t), "m2m_feed"); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
	})
}

// What has expired goes, all of it, and nothing else does.
func TestSweep(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		db := d.raw(t)
		past, later := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
		const n = 3*sqlstore.SweepRows + 7
		insertFeed(t, db, 1, n, past)
		insertFeed(t, db, n+1, 5, later)
		insertClients(t, db, 1)
		for i := range 10 {
			until := []time.Time{past, later}[i%2]
			if first, err := store.Once(t.Context(), "s", fmt.Sprint(i), until); err != nil || !first {
				t.Fatal(first, err)
			}
		}
		for i, expires := range []int64{0, past.UnixMilli(), later.UnixMilli()} {
			mustExec(t, db, fmt.Sprintf("INSERT INTO m2m_secrets VALUES ('000000','%d',%d,'h','',1,%d,0)", i, i, expires))
		}
		store.Sweep()
		for table, want := range map[string]int{"m2m_feed": 5, "m2m_once": 5, "m2m_secrets": 2} {
			got := count(t, db, table)
			// The writes above have begun a sweep of their own, which may be removing
			// what this one left to it.
			for deadline := time.Now().Add(10 * time.Second); got > want && time.Now().Before(deadline); got = count(t, db, table) {
				time.Sleep(10 * time.Millisecond)
			}
			if got != want {
				t.Errorf("%s: %d rows, want %d", table, got, want)
			}
		}
		if first, err := store.Once(t.Context(), "s", "1", later); err != nil || first {
			t.Errorf("a record that has not expired is gone: %v, %v", first, err)
		}
	})
}

// The tables do not grow with what has expired, though nobody calls Sweep.
func TestSweepsByTheWay(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		db := d.raw(t)
		for i := range 2 * sqlstore.SweepWrites {
			if _, err := store.Once(t.Context(), "s", fmt.Sprint(i), time.Now().Add(-time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			n := count(t, db, "m2m_once")
			if n < sqlstore.SweepWrites {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d expired rows are still there", n)
			}
		}
	})
}
