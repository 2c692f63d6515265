package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// managed runs a test of a [registry.Manager] if the store is one.
func managed(test func(t *testing.T, m registry.Manager)) func(*testing.T, opener) {
	return func(t *testing.T, open opener) {
		t.Helper()
		m, ok := open(t).(registry.Manager)
		if !ok {
			t.Skip("the store is no registry.Manager")
		}
		test(t, m)
	}
}

func register(t *testing.T, m registry.Manager, c registry.Client) registry.Client {
	t.Helper()
	registered, err := m.Register(t.Context(), c)
	if err != nil {
		t.Fatalf("Register(%q): %v", c.ID, err)
	}
	return registered
}

// announces fails unless do adds one change to the feed, of this client.
func announces(t *testing.T, m registry.Manager, clientID string, do func() error) registry.Change {
	t.Helper()
	before, err := m.Changes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(); err != nil {
		t.Fatal(err)
	}
	changes := follow(t, m, before.End)
	if len(changes) != 1 || changes[0].ClientID != clientID || changes[0].Kind == registry.TokenRevoked || time.Until(changes[0].ExpiresAt) < 10*time.Minute {
		t.Fatalf("the feed says %+v, want one change of %q", changes, clientID)
	}
	return changes[0]
}

// managerRegister: a client is stored as it is returned, and its id is taken.
func managerRegister(t *testing.T, m registry.Manager) {
	given := clients()[0]
	var registered registry.Client
	change := announces(t, m, oddID, func() (err error) {
		registered, err = m.Register(t.Context(), given)
		return err
	})
	if change.Kind != registry.ClientChanged {
		t.Errorf("the feed says %+v, want that a client has changed", change)
	}
	if registered.Version != 1 || time.Since(registered.CreatedAt).Abs() > time.Minute || registered.Name != given.Name || len(registered.Secrets) != 2 {
		t.Errorf("registered %+v", registered)
	}
	read, err := m.Client(t.Context(), oddID)
	if err != nil || read.Version != 1 || !near(read.CreatedAt, registered.CreatedAt) || read.Metadata["tenant"] != given.Metadata["tenant"] {
		t.Errorf("read %+v, %v", read, err)
	}
	if _, err := m.Register(t.Context(), registry.Client{ID: oddID}); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("the same id again: %v, want registry.ErrConflict", err)
	}
	if _, err := m.Register(t.Context(), registry.Client{ID: "x", TokenTTL: -1}); err == nil || errors.Is(err, registry.ErrConflict) {
		t.Errorf("an invalid client: %v", err)
	}
	if read, err := m.Client(t.Context(), oddID); err != nil || read.Name != given.Name {
		t.Errorf("a refused registration changed the client: %+v, %v", read, err)
	}
}

// managerList: pages are in order of ids, whatever their size.
func managerList(t *testing.T, m registry.Manager) {
	if page, err := m.List(t.Context(), registry.Query{}); err != nil || len(page) != 0 {
		t.Errorf("of an empty store: %v, %v", page, err)
	}
	ids := []string{"B", "a%b", "aXb", "a_b", "b", "c", oddID}
	slices.Sort(ids)
	for _, id := range ids {
		register(t, m, registry.Client{ID: id, Name: "Name of " + id})
	}
	for limit := range len(ids) + 1 {
		var got []string
		q := registry.Query{Limit: limit + 1}
		for {
			page, err := m.List(t.Context(), q)
			if err != nil || len(page) > q.Limit {
				t.Fatalf("%+v: %d clients, %v", q, len(page), err)
			}
			if len(page) == 0 {
				break
			}
			for _, c := range page {
				got = append(got, c.ID)
			}
			q.After = got[len(got)-1]
		}
		if !slices.Equal(got, ids) {
			t.Errorf("by %d: %q, want %q", limit+1, got, ids)
		}
	}
	for search, want := range map[string]string{"a_": "a_b", "A%B": "a%b", "NAME OF B": "B b", "nothing": ""} {
		page, err := m.List(t.Context(), registry.Query{Search: search})
		var got []string
		for _, c := range page {
			got = append(got, c.ID)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("search %q: %q, %v, want %q", search, got, err, want)
		}
	}
}

// managerUpdate: a change is made to the version it was decided on, and keeps the
// secrets.
func managerUpdate(t *testing.T, m registry.Manager) {
	given := clients()[0]
	c := register(t, m, given)
	c.Name, c.Scopes, c.Metadata, c.Secrets = "changed", []string{"orders:read"}, map[string]string{"plan": "small"}, nil
	var updated registry.Client
	change := announces(t, m, oddID, func() (err error) {
		updated, err = m.Update(t.Context(), c)
		return err
	})
	if change.Kind != registry.ClientChanged {
		t.Errorf("the feed says %+v, want that a client has changed", change)
	}
	if updated.Version != 2 || len(updated.Secrets) != 2 || !near(updated.CreatedAt, c.CreatedAt) {
		t.Errorf("updated %+v", updated)
	}
	read, err := m.Client(t.Context(), oddID)
	if err != nil || read.Name != "changed" || !slices.Equal(read.Scopes, c.Scopes) || len(read.Metadata) != 1 || read.Version != 2 {
		t.Errorf("read %+v, %v", read, err)
	}
	for _, version := range []int64{0, 1, 3} {
		c.Version = version
		if _, err := m.Update(t.Context(), c); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("version %d of 2: %v, want registry.ErrConflict", version, err)
		}
	}
	if _, err := m.Update(t.Context(), registry.Client{ID: "nobody", Version: 1}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("of an unknown client: %v, want registry.ErrNotFound", err)
	}
}

// managerDisable: disabling a client cuts off its tokens, in one entry. Enabling it does not
// undo that.
func managerDisable(t *testing.T, m registry.Manager) {
	c := register(t, m, registry.Client{ID: "c"})
	c.Disabled = true
	cut := announces(t, m, "c", func() error {
		_, err := m.Update(t.Context(), c)
		return err
	})
	if cut.Kind != registry.ClientCutOff || !isKept(cut) {
		t.Errorf("the feed says %+v, want a cut-off", cut)
	}
	read, err := m.Client(t.Context(), "c")
	if err != nil || !read.Disabled {
		t.Fatalf("read %+v, %v", read, err)
	}
	read.Disabled = false
	if change := announces(t, m, "c", func() error { _, err := m.Update(t.Context(), *read); return err }); change.Kind != registry.ClientChanged {
		t.Errorf("the feed says %+v, want that a client has changed", change)
	}
	wantInFeed(t, m, cut)
}

// managerDelete: a deleted client is gone, and is cut off in one entry for as long as tokens
// are valid. Registering it again does not undo that.
func managerDelete(t *testing.T, m registry.Manager) {
	_, secret := registry.GenerateSecret()
	register(t, m, registry.Client{ID: "c", Secrets: []registry.Secret{secret}, TokenTTL: 100 * 24 * time.Hour})
	cut := announces(t, m, "c", func() error { return m.Delete(t.Context(), "c") })
	if cut.Kind != registry.ClientCutOff || !isKept(cut) {
		t.Errorf("the feed says %+v, want a cut-off", cut)
	}
	if _, err := m.Client(t.Context(), "c"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a deleted client is read: %v", err)
	}
	for _, id := range []string{"c", "nobody", ""} {
		if err := m.Delete(t.Context(), id); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("Delete(%q): %v, want registry.ErrNotFound", id, err)
		}
	}
	if again := register(t, m, registry.Client{ID: "c"}); again.Version != 1 || len(again.Secrets) != 0 {
		t.Errorf("registered anew: %+v", again)
	}
	wantInFeed(t, m, cut)
}
