package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// reads are the calls that a read-only database serves.
var reads = map[string]bool{"Client": true, "Changes": true, "List": true, "Networks": true, "KeyStore.Load": true}

// readOnly returns the database as one that takes no writes.
func readOnly(t *testing.T, d database) database {
	t.Helper()
	if d.driver == "sqlite" {
		d.source = "file:" + d.source + "?mode=ro&_pragma=busy_timeout(10000)"
		return d
	}
	return with(t, d, "default_transaction_read_only", "on")
}

// A read-only database serves reads, and every write says that it is read-only.
func TestReadOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		register(t, d.open(t), registry.Client{ID: "c"})
		d = readOnly(t, d)
		store := configured{sqlstore.Config{Driver: d.driver, DSN: d.source}}.open(t)
		if d.driver == "pgx" && !store.Status().ReadOnly {
			t.Error("Status does not say that it is read-only before a write")
		}
		for method, err := range everyCall(t.Context(), store) {
			switch {
			case reads[method] && err != nil:
				t.Errorf("%s: %v", method, err)
			case !reads[method] && err == nil:
				t.Errorf("%s wrote to a database that is read-only", method)
			case !reads[method] && !errors.Is(err, registry.ErrNotFound) && !strings.Contains(err.Error(), "the database is read-only"):
				t.Errorf("%s: %v", method, err)
			}
		}
		if s := store.Status(); !s.ReadOnly || s.WriteError == nil || s.LastRead.IsZero() {
			t.Errorf("%+v", s)
		}
		if err := store.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") || strings.Contains(err.Error(), "a standby") != (d.driver == "pgx") {
			t.Errorf("Ready: %v", err)
		}
	})
}

// With a full disk nothing is lost, reads go on, and Ready reports it until there is space.
func TestFull(t *testing.T) {
	t.Parallel()
	d := sqliteFile(t)
	register(t, d.open(t), registry.Client{ID: "c"})
	small := d.config()
	small.DSN += "&_pragma=max_page_count(40)" // SQLITE_FULL, as a full disk gives
	store := configured{small}.open(t)
	kept, err := 0, error(nil)
	for ; err == nil && kept < 10_000; kept++ {
		_, err = store.Register(t.Context(), registry.Client{ID: fmt.Sprint("full-", kept), Name: strings.Repeat("x", 1000)})
	}
	kept--
	if err == nil || !strings.Contains(err.Error(), "disk is full") || errors.Is(err, registry.ErrConflict) {
		t.Fatalf("after %d clients: %v", kept, err)
	}
	if _, err := store.Client(t.Context(), "c"); err != nil {
		t.Errorf("a read: %v", err)
	}
	for range 3 { // asking does not clear it
		if err := store.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("Ready: %v", err)
		}
		if err := store.Status().WriteError; err == nil || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("Status: %v", err)
		}
	}
	roomy := d.open(t)
	if n := count(t, d.raw(t), "m2m_clients WHERE id LIKE 'full-%'"); n != kept {
		t.Errorf("%d clients are stored, and %d were acknowledged", n, kept)
	}
	if err := roomy.Ready(t.Context()); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// Damaged pages are an error, never an answer.
func TestCorrupted(t *testing.T) {
	t.Parallel()
	d := sqliteFile(t)
	store, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const clients = 500
	for i := range clients {
		register(t, store, registry.Client{ID: fmt.Sprint("c-", i), Name: strings.Repeat("x", 500)})
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(d.source, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(30 * 4096); at < info.Size(); at += 4096 {
		if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 4096)), at); err != nil {
			t.Fatal(err)
		}
	}
	store, err = d.connect(t.Context())
	if err != nil {
		return // refusing a damaged file is right too
	}
	defer store.Close()
	damaged := 0
	for i := range clients {
		_, err := store.Client(t.Context(), fmt.Sprint("c-", i))
		if errors.Is(err, registry.ErrNotFound) {
			t.Fatalf("client %d was reported as not found", i)
		}
		if err != nil {
			damaged++
			if !strings.Contains(err.Error(), "damaged: restore a backup") {
				t.Fatal(err)
			}
		}
	}
	if damaged == 0 {
		t.Error("nothing was damaged, so nothing is tested")
	}
	if s := store.Status(); s.LastError == nil {
		t.Error("Status does not report the damage")
	}
}

// Ready reports a database that is down or hangs within the caller's timeout, and Status at
// once. When it is back neither has an error.
func TestReadyInAnOutage(t *testing.T) {
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
	for _, hung := range []bool{false, true} {
		w.set(!hung, hung)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		begun := time.Now()
		if err := store.Ready(ctx); err == nil || time.Since(begun) > 20*time.Second {
			t.Errorf("hung %v: Ready: %v after %v", hung, err, time.Since(begun))
		}
		if _, err := store.Revoke(ctx, token("x", time.Now().Add(time.Hour))); err == nil {
			t.Errorf("hung %v: a write was acknowledged", hung)
		}
		cancel()
		begun = time.Now()
		if s := store.Status(); s.LastError == nil || s.LastErrorAt.Before(s.LastRead) || time.Since(begun) > 5*time.Second {
			t.Errorf("hung %v: %+v", hung, s)
		}
		w.set(false, false)
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			err := store.Ready(t.Context())
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("hung %v, and back: %v", hung, err)
			}
		}
		if s := store.Status(); s.WriteError != nil || s.LastRead.Before(s.LastErrorAt) {
			t.Errorf("hung %v, and back: %+v", hung, s)
		}
	}
}

// The zero Store is not ready, and its Status does not panic.
func TestZeroStatus(t *testing.T) {
	for _, store := range []*sqlstore.Store{nil, {}} {
		if err := store.Ready(t.Context()); err == nil {
			t.Error("the zero Store is ready")
		}
		if s := store.Status(); s.LastError == nil {
			t.Errorf("%+v", s)
		}
		if err := store.Migrate(t.Context()); err == nil {
			t.Error("the zero Store was migrated")
		}
	}
}

// A database in memory is refused, because each connection would have its own.
func TestInMemory(t *testing.T) {
	sqliteFile(t) // skips without the driver
	for _, source := range []string{":memory:", "file::memory:?cache=shared", "file:x?mode=memory&cache=shared", "file:/x?vfs=memdb"} {
		separator := "?"
		if strings.Contains(source, "?") {
			separator = "&"
		}
		_, err := sqlstore.Open(t.Context(), sqlstore.Config{Driver: "sqlite", DSN: source + separator + "_pragma=busy_timeout(1000)"})
		if err == nil || !strings.Contains(err.Error(), "in memory") {
			t.Errorf("%s: %v", source, err)
		}
	}
}
