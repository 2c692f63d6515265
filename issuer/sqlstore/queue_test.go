package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// byMany runs do 50 times at once.
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

// Revocations that wait for the feed leave connections to those who read clients,
// and the operator's go before most of them.
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
			sequence, err := store.Revoke(t.Context(), token(fmt.Sprint(i), time.Now().Add(time.Hour)))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			flooded = append(flooded, sequence)
			mu.Unlock()
		})
	}
	time.Sleep(200 * time.Millisecond)
	soon, done := context.WithTimeout(t.Context(), time.Second)
	defer done()
	byMany(t, func(int) error { _, err := store.Client(soon, "c"); return err })
	if first, err := store.Once(soon, "s", "i", time.Now().Add(time.Hour)); err != nil || !first {
		t.Errorf("a replay record: %v, %v", first, err)
	}
	var cut int64
	flood.Go(func() {
		var err error
		if cut, err = store.Revoke(t.Context(), registry.CutOff("c")); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(100 * time.Millisecond)
	release()
	flood.Wait()
	before := 0
	for _, sequence := range flooded {
		if sequence < cut {
			before++
		}
	}
	if before > 20 {
		t.Errorf("%d of 200 revocations went before the operator's", before)
	}
}

// A client that is cut off needs the revocations of its tokens no more: they are
// deleted, and no others.
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
		for deadline := time.Now().Add(10 * time.Second); count(t, db, "m2m_feed") != 6 && time.Now().Before(deadline); {
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
