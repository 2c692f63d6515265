package sqlstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// secretOf returns the secret of the client that matches plain.
func secretOf(t *testing.T, store *sqlstore.Store, clientID, plain string) (registry.Secret, bool) {
	t.Helper()
	want, err := registry.HashSecret(plain)
	if err != nil {
		t.Fatal(err)
	}
	c, err := store.Client(t.Context(), clientID)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Secrets, func(s registry.Secret) bool { return s.ID == want.ID && s.Hash == want.Hash })
	if i < 0 {
		return registry.Secret{}, false
	}
	return c.Secrets[i], true
}

func TestAddAndRemoveSecret(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		before := end(t, store)
		chosen, err := registry.HashSecret("some thing % chosen")
		if err != nil {
			t.Fatal(err)
		}
		chosen.Label, chosen.LastUsedAt = "old system", time.Now() // the latter is the store's
		if err := store.AddSecret(t.Context(), "c", chosen); err != nil {
			t.Fatal(err)
		}
		announced(t, store, before, "c")
		c, err := store.Client(t.Context(), "c")
		if err != nil || len(c.Secrets) != 1 || c.Secrets[0].Hash != chosen.Hash || c.Secrets[0].Label != "old system" ||
			!c.Secrets[0].LastUsedAt.IsZero() || time.Since(c.Secrets[0].CreatedAt) > time.Minute || !c.Secrets[0].ExpiresAt.IsZero() {
			t.Errorf("got %+v, %v", c, err)
		}
		if c.Version != 1 {
			t.Errorf("version %d, want 1: adding a secret does not change it", c.Version)
		}
		if err := store.AddSecret(t.Context(), "c", chosen); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("the same secret again: %v, want registry.ErrConflict", err)
		}
		if err := store.AddSecret(t.Context(), "nobody", chosen); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("to an unknown client: %v, want registry.ErrNotFound", err)
		}
		if err := store.AddSecret(t.Context(), "c", registry.Secret{ID: "x", Hash: "plain"}); err == nil || errors.Is(err, registry.ErrConflict) {
			t.Errorf("no hash: %v", err)
		}
		before = end(t, store)
		if err := store.RemoveSecret(t.Context(), "c", chosen.ID, false); err != nil {
			t.Fatal(err)
		}
		announced(t, store, before, "c")
		for _, ids := range [][2]string{{"c", chosen.ID}, {"nobody", chosen.ID}, {"c", ""}, {"c", "\x00"}, {"\xff", "x"}} {
			if err := store.RemoveSecret(t.Context(), ids[0], ids[1], ids[1] == "x"); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("RemoveSecret(%q, %q): %v, want registry.ErrNotFound", ids[0], ids[1], err)
			}
		}
		if c, err := store.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 0 {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}

// A client has a secret until that expires. Its row is deleted 90 days later.
func TestSecretsExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		_, lasting := registry.GenerateSecret()
		_, passing := registry.GenerateSecret()
		passing.ExpiresAt = time.Now().Add(time.Second)
		for _, s := range []registry.Secret{lasting, passing} {
			if err := store.AddSecret(t.Context(), "c", s); err != nil {
				t.Fatal(err)
			}
		}
		c, err := store.Client(t.Context(), "c")
		if err != nil || (len(c.Secrets) != 2 && time.Now().Before(passing.ExpiresAt)) {
			t.Errorf("got %+v, %v", c, err)
		}
		time.Sleep(time.Until(passing.ExpiresAt) + 10*time.Millisecond)
		if c, err = store.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 1 || c.Secrets[0].ID != lasting.ID {
			t.Errorf("got %+v, %v", c, err)
		}
		db := d.raw(t)
		mustExec(t, db, "UPDATE m2m_secrets SET expires_at = expires_at - 7689600000 WHERE expires_at > 0")
		if store.Sweep(); count(t, db, "m2m_secrets") != 2 {
			t.Error("the row is gone within 90 days")
		}
		mustExec(t, db, "UPDATE m2m_secrets SET expires_at = expires_at - 86400000 WHERE expires_at > 0")
		store.Sweep()
		if n := count(t, db, "m2m_secrets"); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}

func TestRotateSecret(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		_, soon := registry.GenerateSecret()
		soon.ExpiresAt = time.Now().Add(time.Minute)
		if err := store.AddSecret(t.Context(), "c", soon); err != nil {
			t.Fatal(err)
		}
		first, err := store.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour, Label: "first"})
		if err != nil {
			t.Fatal(err)
		}
		before := end(t, store)
		second, err := store.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour, Label: "second"})
		if err != nil {
			t.Fatal(err)
		}
		announced(t, store, before, "c")
		c, err := store.Client(t.Context(), "c")
		if err != nil || len(c.Secrets) != 3 {
			t.Fatalf("got %+v, %v, want three secrets", c, err)
		}
		if left := time.Until(c.Secrets[0].ExpiresAt); left > time.Minute || left < 50*time.Second {
			t.Errorf("a secret that was to expire in a minute now expires in %v", left)
		}
		old, ok := secretOf(t, store, "c", first)
		if left := time.Until(old.ExpiresAt); !ok || old.Label != "first" || left > time.Hour || left < 59*time.Minute {
			t.Errorf("the old secret: %+v, %v", old, ok)
		}
		if fresh, ok := secretOf(t, store, "c", second); !ok || fresh.Label != "second" || !fresh.ExpiresAt.IsZero() {
			t.Errorf("the new secret: %+v, %v", fresh, ok)
		}
		// A longer overlap does not lengthen what is left.
		if _, err := store.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: 10 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		if old, _ := secretOf(t, store, "c", first); time.Until(old.ExpiresAt) > time.Hour {
			t.Errorf("the old secret lives longer now: %+v", old)
		}
		last, err := store.RotateSecret(t.Context(), "c", registry.Rotation{})
		if err != nil {
			t.Fatal(err)
		}
		if c, err = store.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 1 {
			t.Errorf("after a rotation without overlap: %+v, %v", c, err)
		}
		if _, ok := secretOf(t, store, "c", last); !ok {
			t.Error("the new secret is not valid")
		}
		if _, err := store.RotateSecret(t.Context(), "nobody", registry.Rotation{}); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("of an unknown client: %v, want registry.ErrNotFound", err)
		}
		for _, wrong := range []func() (string, error){
			func() (string, error) {
				return store.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: -time.Second})
			},
			func() (string, error) { return store.RotateSecret(t.Context(), "c", registry.Rotation{Label: "\x00"}) },
		} {
			if plain, err := wrong(); err == nil || plain != "" || !strings.HasPrefix(err.Error(), "sqlstore: ") {
				t.Errorf("got %q, %v", plain, err)
			}
		}
	})
}

// Every returned secret is valid, with many rotations at once in several processes.
func TestRotateSecretByFifty(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		stores := []*sqlstore.Store{d.open(t), d.open(t)}
		register(t, stores[0], registry.Client{ID: "c"})
		var mu sync.Mutex
		var told []string
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				plain, err := stores[i%2].RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour, Label: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				told = append(told, plain)
			})
		}
		group.Wait()
		lasting := 0
		for _, plain := range told {
			secret, ok := secretOf(t, stores[0], "c", plain)
			if !ok {
				t.Error("a returned secret is not valid")
			}
			if secret.ExpiresAt.IsZero() {
				lasting++
			}
		}
		if len(told) != 50 || lasting != 1 {
			t.Errorf("%d secrets, %d without expiry: want 50 and 1", len(told), lasting)
		}
	})
}
