package sqlstore_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// insertFeed inserts revoked tokens without the store, with sequences from first.
func insertFeed(t *testing.T, db *sql.DB, first, n int, expires time.Time) {
	t.Helper()
	for from := first; from < first+n; from += 1000 {
		var rows []string
		for i := from; i < min(from+1000, first+n); i++ {
			rows = append(rows, fmt.Sprintf("(%d,'jti-%d','c',FALSE,%d)", i, i, expires.UnixMilli()))
		}
		mustExec(t, db, "INSERT INTO m2m_feed VALUES "+strings.Join(rows, ","))
	}
	mustExec(t, db, fmt.Sprintf("UPDATE m2m_feed_seq SET seq = %d", first+n-1))
}

func TestFeedByPages(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		for _, n := range []int{sqlstore.MaxPage, 1} { // a full page, and then one more
			insertFeed(t, d.raw(t), int(end(t, store))+1, n, time.Now().Add(time.Hour))
			var since int64
			for last := end(t, store); ; {
				page, err := store.Changes(t.Context(), since)
				if err != nil || page.End != last || page.More != (last-since > sqlstore.MaxPage) || len(page.Changes) != int(min(last-since, sqlstore.MaxPage)) {
					t.Fatalf("after %d of %d: %d changes to %d, more %v, %v", since, last, len(page.Changes), page.End, page.More, err)
				}
				for _, c := range page.Changes {
					if since++; c.Sequence != since || c.TokenID != fmt.Sprintf("jti-%d", since) || c.Kind != registry.TokenRevoked {
						t.Fatalf("got %+v, want the one with sequence %d", c, since)
					}
				}
				if !page.More {
					break
				}
			}
		}
	})
}

// A reader gets past any number of expired changes that are still stored, in statements
// that read a page each.
func TestFeedOfExpired(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		const expired = 2*sqlstore.MaxPage + 3
		insertFeed(t, d.raw(t), 1, expired, time.Now().Add(-time.Hour))
		if page, err := store.Changes(t.Context(), expired-1); err != nil || len(page.Changes) != 0 || page.More || page.End != expired {
			t.Errorf("the last change alone: %+v, %v", page, err)
		}
		live := revoke(t, store, token("live", time.Now().Add(time.Hour)))
		var since int64
		for pages := 1; ; pages++ {
			page, err := store.Changes(t.Context(), since)
			if err != nil || page.End != live || len(page.Changes) != 1 {
				t.Fatalf("after %d: %d changes, %v", since, len(page.Changes), err)
			}
			if since = page.Changes[0].Sequence; page.More {
				continue
			}
			if since != live || pages != 3 {
				t.Errorf("%d pages, to %+v", pages, page.Changes)
			}
			break
		}
	})
}

// A database that was restored to an earlier time has an earlier end. A follower that only
// waited for greater sequences would miss revocations.
func TestFeedSetBack(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		for range 3 {
			register(t, store, registry.Client{ID: fmt.Sprint(time.Now().UnixNano())})
		}
		last := end(t, store)
		for _, since := range []int64{last, last + 1} {
			if page, err := store.Changes(t.Context(), since); err != nil || len(page.Changes) != 0 || page.End != last {
				t.Errorf("after %d of %d: %+v, %v", since, last, page, err)
			}
		}
		db := d.raw(t)
		for _, statement := range []string{"DELETE FROM m2m_feed", "UPDATE m2m_feed_seq SET seq = 0"} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		if page, err := store.Changes(t.Context(), last); err != nil || page.End >= last {
			t.Errorf("set back: %+v, %v, want an end before %d", page, err, last)
		}
		// The feed was set back by more entries than are written now. These get new sequences.
		sequence := revoke(t, store, token("new", time.Now().Add(time.Hour)))
		if page, err := store.Changes(t.Context(), last); err != nil || len(page.Changes) != 1 || page.Changes[0].TokenID != "new" || page.Changes[0].Sequence != sequence {
			t.Errorf("a follower that was at %d gets %+v, %v", last, page, err)
		}
	})
}

func TestRevokeRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		later := time.Now().Add(time.Hour)
		for what, c := range map[string]registry.Change{
			"nothing":   {ExpiresAt: later},
			"no kind":   {TokenID: "x", ExpiresAt: later},
			"no expiry": {Kind: registry.TokenRevoked, TokenID: "x"},
			"too long":  token(strings.Repeat("x", 513), later),
			"NUL":       token("\x00", later),
			"not UTF-8": {Kind: registry.ClientChanged, ClientID: "\xff", ExpiresAt: later},
		} {
			if sequence, err := store.Revoke(t.Context(), c); err == nil || sequence != 0 || !strings.HasPrefix(err.Error(), "sqlstore: revoking: registry: Change.") {
				t.Errorf("%s: %d, %v", what, sequence, err)
			}
		}
		longest := token(strings.Repeat("é", 256), later)
		longest.ClientID = strings.Repeat("x", 256)
		before := revoke(t, store, longest)
		secret := registry.Change{Kind: registry.SecretCutOff, ClientID: strings.Repeat("x", 256), SecretID: strings.Repeat("é", 512)}
		revoke(t, store, secret)
		page, err := store.Changes(t.Context(), before)
		if err != nil || len(page.Changes) != 1 || page.Changes[0].Kind != secret.Kind || page.Changes[0].SecretID != secret.SecretID {
			t.Errorf("got %+v, %v", page, err)
		}
	})
}

// A repeated revocation that adds nothing keeps its sequence, which Revoke returns.
func TestRevokeAgainKeepsTheSequence(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		later := time.Now().Add(time.Hour)
		first := revoke(t, store, token("a", later))
		revoke(t, store, token("b", later))
		if again := revoke(t, store, token("a", later)); again != first {
			t.Errorf("again: %d, want %d", again, first)
		}
		if longer := revoke(t, store, token("a", later.Add(time.Hour))); longer <= first {
			t.Errorf("for longer: %d, want more than %d", longer, first)
		}
	})
}

// A repeated cut-off gets a new sequence, also when the first one was written while the
// database's clock was ahead.
func TestCutOffAgainReachesFurther(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		for _, c := range []registry.Change{
			registry.CutOff("c"), {Kind: registry.AllCutOff}, {Kind: registry.ClientChanged, ClientID: "c"}, {Kind: registry.SecretCutOff, ClientID: "c", SecretID: "s"},
		} {
			first := revoke(t, store, c)
			mustExec(t, d.raw(t), "UPDATE m2m_feed SET expires_at = expires_at + 1000000000")
			again := revoke(t, store, c)
			page, err := store.Changes(t.Context(), first)
			if err != nil || len(page.Changes) != 1 || page.Changes[0].Kind != c.Kind || page.Changes[0].Sequence != again || again <= first {
				t.Errorf("%v again: %d after %d, %+v, %v", c.Kind, again, first, page, err)
			}
		}
	})
}

// Repeated revocations of the same take one row.
func TestFeedDoesNotGrowByRepetition(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		later := time.Now().Add(time.Hour)
		for range 10 {
			for _, c := range []registry.Change{
				token("t", later), registry.CutOff("c"), {Kind: registry.ClientChanged, ClientID: "c"}, {Kind: registry.AllCutOff},
				{Kind: registry.SecretCutOff, ClientID: "c", SecretID: "s"}, {Kind: registry.SecretCutOff, ClientID: "c", SecretID: "t"},
			} {
				revoke(t, store, c)
			}
			if _, err := store.RotateSecret(t.Context(), "c", registry.Rotation{}); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, d.raw(t), "m2m_feed"); n != 6 {
			t.Errorf("%d rows, want 6", n)
		}
	})
}

// A sweep deletes everything that has expired, and nothing else.
func TestSweep(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		db := d.raw(t)
		past, later := time.Now().Add(-time.Second-registry.TokenGrace), time.Now().Add(time.Hour)
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
		for i, expires := range []int64{0, past.Add(-89 * 24 * time.Hour).UnixMilli(), past.UnixMilli(), later.UnixMilli()} {
			mustExec(t, db, fmt.Sprintf("INSERT INTO m2m_secrets VALUES ('000000','%d',%d,'h','',1,%d,0)", i, i, expires))
		}
		store.Sweep()
		for table, want := range map[string]int{"m2m_feed": 5, "m2m_once": 5, "m2m_secrets": 3} {
			got := count(t, db, table)
			// The writes above have also started a sweep, which may still be deleting
			// rows.
			for deadline := time.Now().Add(30 * time.Second); got > want && time.Now().Before(deadline); got = count(t, db, table) {
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

// Expired rows do not accumulate.
func TestSweepsAfterWrites(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		db := d.raw(t)
		for i := range 2 * sqlstore.SweepWrites {
			if _, err := store.Once(t.Context(), "s", fmt.Sprint(i), time.Now().Add(-25*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
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
