package sqlstore_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

func TestSecretsUsed(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		_, a := registry.GenerateSecret()
		_, b := registry.GenerateSecret()
		register(t, store, registry.Client{ID: "c", Secrets: []registry.Secret{a, b}})
		register(t, store, registry.Client{ID: "d", Secrets: []registry.Secret{a}})
		before := end(t, store)
		now := time.Now().Truncate(time.Millisecond).UTC()
		uses := []registry.SecretUse{
			{ClientID: "c", SecretID: a.ID, At: now}, {ClientID: "c", SecretID: a.ID, At: now.Add(-time.Minute)}, {ClientID: "d", SecretID: a.ID, At: now.Add(-time.Hour)},
			{ClientID: "nobody", SecretID: a.ID, At: now}, {ClientID: "c", SecretID: "none", At: now}, {ClientID: "\x00", SecretID: "\xff", At: now},
		}
		for i := range sqlstore.UsesInOne { // so that it takes several transactions
			uses = append(uses, registry.SecretUse{ClientID: fmt.Sprint(i), SecretID: a.ID, At: now})
		}
		if err := store.SecretsUsed(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
		if err := store.SecretsUsed(t.Context(), []registry.SecretUse{{ClientID: "c", SecretID: a.ID, At: now.Add(-time.Hour)}}); err != nil {
			t.Fatal(err)
		}
		if err := store.SecretsUsed(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		c, err := store.Client(t.Context(), "c")
		if err != nil || !c.Secrets[0].LastUsedAt.Equal(now) || !c.Secrets[1].LastUsedAt.IsZero() {
			t.Errorf("got %+v, %v, want the first used at %v", c.Secrets, err, now)
		}
		if other, err := store.Client(t.Context(), "d"); err != nil || !other.Secrets[0].LastUsedAt.Equal(now.Add(-time.Hour)) {
			t.Errorf("got %+v, %v", other.Secrets, err)
		}
		if after := end(t, store); after != before {
			t.Error("the use of a secret was written to the feed")
		}
	})
}

// Writers of several clients and writers of one do not deadlock.
func TestSecretsUsedWhileRotating(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		stores := []*sqlstore.Store{d.open(t), d.open(t)}
		var uses []registry.SecretUse
		for i := range 10 {
			id := fmt.Sprint(i)
			register(t, stores[0], registry.Client{ID: id})
			for range 5 {
				_, secret := registry.GenerateSecret()
				if err := stores[0].AddSecret(t.Context(), id, secret); err != nil {
					t.Fatal(err)
				}
				uses = append(uses, registry.SecretUse{ClientID: id, SecretID: secret.ID})
			}
		}
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				for n := range 10 {
					batch := slices.Clone(uses)
					for j := range batch {
						batch[j].At = time.Now().Add(time.Duration(n*100+j) * time.Millisecond)
					}
					if i%2 == 0 {
						slices.Reverse(batch)
					}
					if err := stores[i%2].SecretsUsed(t.Context(), batch); err != nil {
						t.Error(err)
					}
				}
			})
			group.Go(func() {
				for n := range 10 {
					if _, err := stores[i%2].RotateSecret(t.Context(), fmt.Sprint((n*7+i)%10), registry.Rotation{Overlap: time.Hour}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
	})
}

// A new client does not get the networks that an older release has left of a deleted client
// with its id. Invalid networks are ignored.
func TestNetworks(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		db := d.raw(t)
		mustExec(t, db, fmt.Sprintf("INSERT INTO m2m_networks VALUES ('c', 'old', %d), ('d', 'old', %d)", time.Now().UnixMilli(), time.Now().Add(-2*registry.NetworkLifetime).UnixMilli()))
		register(t, store, registry.Client{ID: "c"})
		if networks, err := store.Networks(t.Context(), "c"); err != nil || len(networks) != 0 {
			t.Errorf("the networks of the client before: %q, %v", networks, err)
		}
		store.Sweep() // or the one that the registration has begun
		for deadline := time.Now().Add(30 * time.Second); count(t, db, "m2m_networks") != 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("networks of 60 days ago are still there")
			}
		}
		batch := []registry.ClientNetwork{
			{ClientID: "c", Network: "\x00", At: time.Now()}, {ClientID: "\xff", Network: "a", At: time.Now()},
			{ClientID: "c", Network: strings.Repeat("x", 65), At: time.Now()}, {ClientID: "c", Network: strings.Repeat("x", 64), At: time.Now()},
		}
		for i := range 2 * sqlstore.UsesInOne { // so that it takes several statements
			batch = append(batch, registry.ClientNetwork{ClientID: fmt.Sprint(i), Network: "a", At: time.Now()})
		}
		if err := store.Succeeded(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if networks, err := store.Networks(t.Context(), "c"); err != nil || len(networks) != 1 || networks[0] != strings.Repeat("x", 64) {
			t.Errorf("%q, %v", networks, err)
		}
		for _, id := range []string{"0", "\xff", strings.Repeat("x", 1000)} {
			if networks, err := store.Networks(t.Context(), id); err != nil || len(networks) != 0 {
				t.Errorf("Networks(%.10q): %q, %v", id, networks, err)
			}
		}
	})
}
