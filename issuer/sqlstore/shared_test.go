package sqlstore_test

import (
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

func register(t *testing.T, store *sqlstore.Store, c registry.Client) registry.Client {
	t.Helper()
	registered, err := store.Register(t.Context(), c)
	if err != nil {
		t.Fatalf("Register(%q): %v", c.ID, err)
	}
	return registered
}

// end is the last sequence in the feed.
func end(t *testing.T, store *sqlstore.Store) int64 {
	t.Helper()
	page, err := store.Changes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return page.End
}

// token is a change that revokes a token.
func token(id string, expires time.Time) registry.Change {
	return registry.Change{Kind: registry.TokenRevoked, TokenID: id, ExpiresAt: expires}
}

// revoke writes a change.
func revoke(t *testing.T, store *sqlstore.Store, c registry.Change) int64 {
	t.Helper()
	sequence, err := store.Revoke(t.Context(), c)
	if err != nil {
		t.Fatalf("Revoke(%+v): %v", c, err)
	}
	return sequence
}

// announced fails unless the feed has, after a sequence, one change of the client.
func announced(t *testing.T, store *sqlstore.Store, since int64, clientID string) {
	t.Helper()
	page, err := store.Changes(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Changes) != 1 || page.Changes[0].Kind != registry.ClientChanged || page.Changes[0].ClientID != clientID ||
		time.Until(page.Changes[0].ExpiresAt) < 59*time.Minute {
		t.Errorf("the feed says %+v, want one change of %q", page.Changes, clientID)
	}
}
