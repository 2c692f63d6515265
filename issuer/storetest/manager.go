package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// managed runs a test of a [registry.Manager], where the store is one.
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

// announces fails unless do writes one change to the feed, of this client.
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
		t.Errorf("a client that is not valid: %v", err)
	}
	if read, err := m.Client(t.Context(), oddID); err != nil || read.Name != given.Name {
		t.Errorf("a refused registration changed the client: %+v, %v", read, err)
	}
}

// managerList: pages are in order of ids, whatever their size.
func managerList(t *testing.T, m registry.Manager) {
	if page, err := m.List(t.Context(), registry.Query{}); err != nil || len(page) != 0 {
		t.Errorf("of nothing: %v, %v", page, err)
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
		t.Errorf("of a client that is not there: %v, want registry.ErrNotFound", err)
	}
}

// managerDisable: disabling a client cuts off its tokens, in one entry, and enabling
// it does not take that back.
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

// managerDelete: a deleted client is gone, and cut off in one entry for as long as
// tokens live. Registering it again does not take that back.
func managerDelete(t *testing.T, m registry.Manager) {
	_, secret := registry.GenerateSecret()
	register(t, m, registry.Client{ID: "c", Secrets: []registry.Secret{secret}, TokenTTL: 100 * 24 * time.Hour})
	cut := announces(t, m, "c", func() error { return m.Delete(t.Context(), "c") })
	if cut.Kind != registry.ClientCutOff || !isKept(cut) {
		t.Errorf("the feed says %+v, want a cut-off", cut)
	}
	if _, err := m.Client(t.Context(), "c"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("still there: %v", err)
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

// managerSecrets: secrets are added and removed, and have no part in the version.
func managerSecrets(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	_, secret := registry.GenerateSecret()
	secret.Label, secret.LastUsedAt = "spring", time.Now() // the latter is the store's to set
	if change := announces(t, m, "c", func() error { return m.AddSecret(t.Context(), "c", secret) }); change.Kind != registry.ClientChanged {
		t.Errorf("the feed says %+v, want that a client has changed", change)
	}
	c, err := m.Client(t.Context(), "c")
	if err != nil || c.Version != 1 || len(c.Secrets) != 1 || c.Secrets[0].Hash != secret.Hash || c.Secrets[0].Label != "spring" ||
		!c.Secrets[0].LastUsedAt.IsZero() || time.Since(c.Secrets[0].CreatedAt).Abs() > time.Minute {
		t.Errorf("read %+v, %v", c, err)
	}
	if err := m.AddSecret(t.Context(), "c", secret); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("the same again: %v, want registry.ErrConflict", err)
	}
	if err := m.AddSecret(t.Context(), "nobody", secret); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("to nobody: %v, want registry.ErrNotFound", err)
	}
	if err := m.AddSecret(t.Context(), "c", registry.Secret{ID: "x", Hash: "plain"}); err == nil {
		t.Error("a secret without a hash was taken")
	}
	announces(t, m, "c", func() error { return m.RemoveSecret(t.Context(), "c", secret.ID, false) })
	for _, ids := range [][2]string{{"c", secret.ID}, {"nobody", secret.ID}, {"c", ""}} {
		if err := m.RemoveSecret(t.Context(), ids[0], ids[1], ids[1] == ""); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("RemoveSecret(%q, %q): %v, want registry.ErrNotFound", ids[0], ids[1], err)
		}
	}
	if c, err := m.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 0 {
		t.Errorf("read %+v, %v", c, err)
	}
}

// wantInFeed fails unless the feed still has the change.
func wantInFeed(t *testing.T, m registry.Manager, want registry.Change) {
	t.Helper()
	for _, c := range follow(t, m, 0) {
		if c.Sequence == want.Sequence && c.Kind == want.Kind && c.ClientID == want.ClientID && c.SecretID == want.SecretID {
			return
		}
	}
	t.Errorf("the feed has lost %+v", want)
}

// managerRevokingSecrets: taking a secret away with revocation is one entry, of the
// secret, or of the client when all its secrets go.
func managerRevokingSecrets(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	var secrets []registry.Secret
	for range 3 {
		_, secret := registry.GenerateSecret()
		if err := m.AddSecret(t.Context(), "c", secret); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
	}
	var cuts []registry.Change
	for _, secret := range secrets[:2] {
		cut := announces(t, m, "c", func() error { return m.RemoveSecret(t.Context(), "c", secret.ID, true) })
		if cut.Kind != registry.SecretCutOff || cut.SecretID != secret.ID || !isKept(cut) {
			t.Errorf("the feed says %+v, want a cut-off of secret %q", cut, secret.ID)
		}
		cuts = append(cuts, cut)
	}
	before := follow(t, m, 0)
	if plain, err := m.RotateSecret(t.Context(), "c", registry.Rotation{Revoke: true, Overlap: time.Hour}); err == nil || plain != "" {
		t.Errorf("a rotation with overlap and revocation: %q, %v", plain, err)
	}
	if after := follow(t, m, 0); len(after) != len(before) {
		t.Errorf("a rotation that was refused is in the feed: %+v", after)
	}
	var plain string
	cut := announces(t, m, "c", func() (err error) {
		plain, err = m.RotateSecret(t.Context(), "c", registry.Rotation{Revoke: true})
		return err
	})
	if cut.Kind != registry.ClientCutOff || !isKept(cut) {
		t.Errorf("the feed says %+v, want a cut-off", cut)
	}
	for _, cut := range cuts {
		wantInFeed(t, m, cut)
	}
	c, err := m.Client(t.Context(), "c")
	if err != nil || len(c.Secrets) != 1 || !c.Secrets[0].Matches(plain) {
		t.Errorf("read %+v, %v, want the new secret alone", c, err)
	}
}

// managerRotate: the new secret is in force, the others until the overlap ends.
func managerRotate(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	var first, second string
	announces(t, m, "c", func() (err error) {
		first, err = m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour, Label: "first"})
		return err
	})
	announces(t, m, "c", func() (err error) {
		second, err = m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour, Label: "second"})
		return err
	})
	if old, ok := inForce(t, m, first); !ok || old.Label != "first" || time.Until(old.ExpiresAt) > time.Hour || time.Until(old.ExpiresAt) < 50*time.Minute {
		t.Errorf("the old secret: %+v, in force %v", old, ok)
	}
	if fresh, ok := inForce(t, m, second); !ok || fresh.Label != "second" || !fresh.ExpiresAt.IsZero() {
		t.Errorf("the new secret: %+v, in force %v", fresh, ok)
	}
	if _, err := m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: 10 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if old, _ := inForce(t, m, first); time.Until(old.ExpiresAt) > time.Hour {
		t.Errorf("a longer overlap lengthens what is left: %+v", old)
	}
	last, err := m.RotateSecret(t.Context(), "c", registry.Rotation{})
	if err != nil {
		t.Fatal(err)
	}
	for plain, want := range map[string]bool{first: false, second: false, last: true} {
		if _, ok := inForce(t, m, plain); ok != want {
			t.Errorf("after a rotation without overlap: in force %v, want %v", ok, want)
		}
	}
	if _, err := m.RotateSecret(t.Context(), "nobody", registry.Rotation{}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("of nobody: %v, want registry.ErrNotFound", err)
	}
	if plain, err := m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: -time.Second}); err == nil || plain != "" {
		t.Errorf("a negative overlap: %q, %v", plain, err)
	}
}

// inForce finds a secret of client c that has not expired.
func inForce(t *testing.T, m registry.Manager, plain string) (registry.Secret, bool) {
	t.Helper()
	c, err := m.Client(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	i := slices.IndexFunc(c.Secrets, func(s registry.Secret) bool { return s.Matches(plain) && !s.Expired(now) })
	if i < 0 {
		return registry.Secret{}, false
	}
	return c.Secrets[i], true
}

// managerFeedFirst: who reads a changed client finds the change in the feed, so a
// replica that had not read the feed so far had not seen the client either.
func managerFeedFirst(t *testing.T, m registry.Manager) {
	const updates = 30
	c := register(t, m, registry.Client{ID: "c"})
	var ends [updates + 2]atomic.Int64 // of each version, when its update has returned
	keep := func() {
		page, err := m.Changes(t.Context(), 0)
		if err != nil {
			t.Error(err)
		}
		ends[c.Version].Store(page.End)
	}
	keep()
	var group sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				read, err := m.Client(t.Context(), "c")
				if err != nil {
					t.Error(err)
					return
				}
				page, err := m.Changes(t.Context(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				if before := ends[read.Version-1].Load(); page.End <= before {
					t.Errorf("version %d is there, and the feed ends at %d, as before it", read.Version, before)
				}
			}
		})
	}
	for range updates {
		var err error
		if c, err = m.Update(t.Context(), c); err != nil {
			t.Error(err)
			break
		}
		keep()
	}
	close(done)
	group.Wait()
}

// managerRacers: no update is lost, and each secret that a caller got works.
func managerRacers(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	var group sync.WaitGroup
	const updates = 12
	for i := range updates {
		group.Go(func() {
			for {
				c, err := m.Client(t.Context(), "c")
				if err != nil {
					t.Error(err)
					return
				}
				c.Scopes = append(c.Scopes, fmt.Sprint(i))
				if _, err = m.Update(t.Context(), *c); err == nil {
					return
				}
				if !errors.Is(err, registry.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	secrets := make([]string, racers)
	for i := range secrets {
		group.Go(func() {
			var err error
			if secrets[i], err = m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	c, err := m.Client(t.Context(), "c")
	if err != nil || len(c.Scopes) != updates || c.Version != updates+1 {
		t.Errorf("%d of %d changes are there, version %d, %v", len(c.Scopes), updates, c.Version, err)
	}
	lasting := 0
	for _, plain := range secrets {
		secret, ok := inForce(t, m, plain)
		if !ok {
			t.Error("a secret that a caller got is not in force")
		}
		if secret.ExpiresAt.IsZero() {
			lasting++
		}
	}
	if lasting != 1 {
		t.Errorf("%d secrets do not expire, want 1", lasting)
	}
}

// managerEnsure: of many that ensure one client, one gets its secret.
func managerEnsure(t *testing.T, m registry.Manager) {
	var told atomic.Int64
	var group sync.WaitGroup
	for range racers {
		group.Go(func() {
			secret, err := registry.Ensure(t.Context(), m, registry.Client{ID: "c"})
			if err != nil {
				t.Error(err)
			}
			if secret == "" {
				return
			}
			told.Add(1)
			if _, ok := inForce(t, m, secret); !ok {
				t.Error("the secret is not in force")
			}
		})
	}
	group.Wait()
	if told.Load() != 1 {
		t.Errorf("%d were told a secret, want 1", told.Load())
	}
}
