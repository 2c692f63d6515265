//go:build rehearsal && !nosqlite

package issuer_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// With a real database: revocations that a database which was set back lacks are written
// to it again. A database that was not set back is never mistaken for one that was. This needs
// SQLite, which takes minutes to build; TestRestoredOlder is the same with a Memory.
func TestRestoredDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	signer, err := jwks.Open(t.Context(), jwks.File(filepath.Join(t.TempDir(), "keys.json")), jwks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	defer signer.Close()
	var mu sync.Mutex
	seen := map[event.Reason]int{}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: signer, Store: store, Observe: func(_ context.Context, e issuer.Event) {
		mu.Lock()
		defer mu.Unlock()
		seen[e.Reason]++
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer iss.Close()
	events := func(reason event.Reason) int {
		mu.Lock()
		defer mu.Unlock()
		return seen[reason]
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(iss.Ready(t.Context()))
	for _, id := range []string{"a", "b"} {
		_, err := store.Register(t.Context(), registry.Client{ID: id, Audiences: []string{"https://api.example.com"}})
		do(err)
	}
	later := time.Now().Add(time.Hour)
	for n := range 3 { // changes that replace, cover and remove entries
		for _, id := range []string{"a", "b"} {
			_, err := store.Revoke(t.Context(), registry.Change{Kind: registry.TokenRevoked, TokenID: "t" + id, ClientID: id, ExpiresAt: later})
			do(err)
			do(iss.Sync(t.Context()))
			do(iss.RevokeClient(t.Context(), id))
			do(iss.Sync(t.Context()))
			do(iss.RevokeSecret(t.Context(), id, "s"))
			do(iss.RevokeClient(t.Context(), id))
		}
		do(iss.RevokeAll(t.Context()))
		do(iss.RevokeToken(t.Context(), fmt.Sprint("last", n), later))
		do(iss.Sync(t.Context()))
		do(iss.Sync(t.Context()))
	}
	if got := events(event.StateOlder); got != 0 {
		t.Fatalf("%d events say that the store was set back, want none", got)
	}

	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	do(err)
	defer db.Close()
	for _, statement := range []string{"DELETE FROM m2m_feed", "UPDATE m2m_feed_seq SET seq = 0"} {
		_, err := db.ExecContext(t.Context(), statement)
		do(err)
	}
	_, err = store.Revoke(t.Context(), registry.Change{Kind: registry.TokenRevoked, TokenID: "new", ExpiresAt: later}) // before the next poll
	do(err)
	// The restored cut-off of all covers what was revoked before it.
	want := map[registry.Kind]int{registry.AllCutOff: 1, registry.TokenRevoked: 1}
	var got map[registry.Kind]int
	for range 1200 {
		page, err := store.Changes(t.Context(), 0)
		do(err)
		got = map[registry.Kind]int{}
		for _, c := range page.Changes {
			got[c.Kind]++
		}
		if maps.Equal(got, want) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the feed has %v, want %v", got, want)
	}
	if got := events(event.StateOlder); got != 1 {
		t.Errorf("%d events say that the store was set back, want 1", got)
	}
}
