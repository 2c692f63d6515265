package sqlstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// full has every field set, but for those that exclude one of these: package storetest
// tries each. A field that a later release adds must be added here, and to the table.
func full(t *testing.T) registry.Client {
	_, secret := registry.GenerateSecret()
	secret.Label, secret.ExpiresAt = "label", time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	c := registry.Client{
		ID: "full: 100% _%\\", Name: "Größe \"1\"", Disabled: true, Secrets: []registry.Secret{secret}, AuthMethod: "client_secret_post",
		Scopes: []string{"b", "a"}, Audiences: []string{"https://b.example", "https://a.example"}, DefaultAudience: "https://a.example",
		TokenTTL: time.Minute, Introspects: []string{"*"}, Metadata: map[string]string{"tenant": "ä", "plan": ""},
		JWKS: json.RawMessage(`{"keys": [{"kid": "<ä> \u0000"}]}`), TLSClientAuthSubjectDN: "CN=Größe", DPoPBoundTokens: true, CertificateBoundTokens: true,
		Workloads: []registry.Workload{{Issuer: "https://ci.example", Subject: "repo:a*", Audience: "b", InsecureSharedSubject: true}},
		Version:   7, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "JWKSURI" && !strings.HasPrefix(name, "TLSClientAuthSAN") {
			t.Fatalf("registry.Client.%s is new: set it here, and keep it in the table", name)
		}
	}
	return c
}

func TestEveryFieldIsKept(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		given := full(t)
		registered := register(t, store, given)
		if registered.Version != 1 || time.Since(registered.CreatedAt).Abs() > time.Minute || registered.UpdatedAt != registered.CreatedAt ||
			registered.Secrets[0].CreatedAt != registered.CreatedAt {
			t.Errorf("the store's own fields: %+v", registered)
		}
		read, err := store.Client(t.Context(), given.ID)
		if err != nil || !reflect.DeepEqual(*read, registered) {
			t.Errorf("read %+v, %v\nregistered %+v", read, err, registered)
		}
		given.Version, given.CreatedAt, given.UpdatedAt = registered.Version, registered.CreatedAt, registered.UpdatedAt
		given.Secrets[0].CreatedAt = registered.CreatedAt
		if !reflect.DeepEqual(given, registered) {
			t.Errorf("given %+v\nregistered %+v", given, registered)
		}

		given.Name, given.Disabled, given.AuthMethod, given.Scopes, given.Audiences = "other", false, "", []string{"c"}, []string{"https://c.example"}
		given.DefaultAudience, given.TokenTTL, given.Introspects, given.Metadata = "", 0, nil, nil
		given.JWKS, given.JWKSURI, given.TLSClientAuthSubjectDN, given.TLSClientAuthSANEmail = nil, "https://keys.example", "", "a@a.example"
		given.Workloads, given.DPoPBoundTokens, given.CertificateBoundTokens = nil, false, false
		given.CreatedAt, given.Secrets = time.Time{}, nil // the store's, and not Update's
		updated, err := store.Update(t.Context(), given)
		if err != nil {
			t.Fatal(err)
		}
		if updated.Version != 2 || updated.UpdatedAt.Before(registered.UpdatedAt) {
			t.Errorf("the store's own fields: %+v", updated)
		}
		given.Version, given.CreatedAt, given.UpdatedAt, given.Secrets = 2, registered.CreatedAt, updated.UpdatedAt, registered.Secrets
		if !reflect.DeepEqual(updated, given) {
			t.Errorf("updated %+v\nwant %+v", updated, given)
		}
		read, err = store.Client(t.Context(), given.ID)
		if err != nil || !reflect.DeepEqual(*read, updated) {
			t.Errorf("read %+v, %v\nupdated %+v", read, err, updated)
		}
	})
}

func TestRegister(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		before := end(t, store)
		register(t, store, registry.Client{ID: "c", Name: "first"})
		announced(t, store, before, "c") // a replica may have cached that there is none
		if _, err := store.Register(t.Context(), registry.Client{ID: "c", Name: "second"}); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("the same id again: %v, want registry.ErrConflict", err)
		}
		if c, err := store.Client(t.Context(), "c"); err != nil || c.Name != "first" {
			t.Errorf("got %+v, %v", c, err)
		}
		_, secret := registry.GenerateSecret()
		long := strings.Repeat("x", 1025)
		for what, c := range map[string]registry.Client{
			"no id":             {},
			"id not ASCII":      {ID: "ä"},
			"scope":             {ID: "x", Scopes: []string{"a b"}},
			"name with NUL":     {ID: "x", Name: "a\x00"},
			"name not UTF-8":    {ID: "x", Name: "\xff"},
			"name too long":     {ID: "x", Name: long},
			"audience":          {ID: "x", Audiences: []string{"https://\xff"}},
			"introspects":       {ID: "x", Introspects: []string{"\x00"}},
			"label":             {ID: "x", Secrets: []registry.Secret{{ID: "a", Hash: secret.Hash, Label: "\x00"}}},
			"secret id":         {ID: "x", Secrets: []registry.Secret{{ID: long, Hash: secret.Hash}}},
			"hash":              {ID: "x", Secrets: []registry.Secret{{ID: "a", Hash: "plain"}}},
			"one secret, twice": {ID: "x", Secrets: []registry.Secret{secret, secret}},
		} {
			if _, err := store.Register(t.Context(), c); err == nil || errors.Is(err, registry.ErrConflict) || !strings.HasPrefix(err.Error(), "sqlstore: ") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := store.Client(t.Context(), "x"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("a refused client was stored: %v", err)
		}
	})
}

func TestRegisterOfOneIDByFifty(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		var won atomic.Int64
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				switch _, err := store.Register(t.Context(), registry.Client{ID: "c"}); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, registry.ErrConflict):
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d callers registered it, want 1", won.Load())
		}
	})
}

func TestUpdate(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		c := register(t, store, registry.Client{ID: "c"})
		before := end(t, store)
		c.Name = "changed"
		updated, err := store.Update(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		announced(t, store, before, "c")
		c.Name = "stale"
		for _, version := range []int64{0, 1, 3} {
			c.Version = version
			if _, err := store.Update(t.Context(), c); !errors.Is(err, registry.ErrConflict) || errors.Is(err, registry.ErrNotFound) {
				t.Errorf("version %d of 2: %v, want registry.ErrConflict", version, err)
			}
		}
		if _, err := store.Update(t.Context(), registry.Client{ID: "nobody", Version: 1}); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("of an unknown client: %v, want registry.ErrNotFound", err)
		}
		if _, err := store.Update(t.Context(), registry.Client{ID: "c", Version: 2, TokenTTL: time.Millisecond}); err == nil {
			t.Error("an invalid client was accepted")
		}
		if _, err := store.RotateSecret(t.Context(), "c", registry.Rotation{}); err != nil {
			t.Fatal(err)
		}
		updated.Name = "after a rotation"
		if updated, err = store.Update(t.Context(), updated); err != nil || updated.Name != "after a rotation" || len(updated.Secrets) != 1 {
			t.Errorf("an update after a rotation: %+v, %v", updated, err)
		}
	})
}

// Disabling a client revokes its tokens in the same step.
func TestDisable(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		c := register(t, store, registry.Client{ID: "c"})
		before := end(t, store)
		c.Disabled = true
		if _, err := store.Update(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		page, err := store.Changes(t.Context(), before)
		if err != nil || len(page.Changes) != 1 {
			t.Fatalf("the feed says %+v, %v, want one cut-off", page, err)
		}
		if cut := page.Changes[0]; cut.Kind != registry.ClientCutOff || cut.ClientID != "c" || (time.Until(cut.ExpiresAt)-registry.CutOffLifetime).Abs() > time.Minute {
			t.Errorf("the cut-off is %+v", cut)
		}
	})
}

// Of many callers that read the same version one can update it. No update is lost.
func TestUpdateByMany(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		register(t, store, registry.Client{ID: "c"})
		var group sync.WaitGroup
		const racers = 12
		for i := range racers {
			group.Go(func() {
				for {
					c, err := store.Client(t.Context(), "c")
					if err != nil {
						t.Error(err)
						return
					}
					c.Scopes = append(c.Scopes, fmt.Sprint(i))
					if _, err = store.Update(t.Context(), *c); err == nil {
						return
					}
					if !errors.Is(err, registry.ErrConflict) {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		c, err := store.Client(t.Context(), "c")
		if err != nil || len(c.Scopes) != racers || c.Version != racers+1 {
			t.Errorf("%d of %d changes are there, version %d, %v", len(c.Scopes), racers, c.Version, err)
		}
	})
}

func TestDelete(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		store := d.open(t)
		_, secret := registry.GenerateSecret()
		register(t, store, registry.Client{ID: "c", Secrets: []registry.Secret{secret}})
		register(t, store, registry.Client{ID: "d", Secrets: []registry.Secret{secret}})
		before := end(t, store)
		if err := store.Delete(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		page, err := store.Changes(t.Context(), before)
		if err != nil || len(page.Changes) != 1 {
			t.Fatalf("the feed says %+v, %v, want one cut-off", page, err)
		}
		cut := page.Changes[0]
		if cut.Kind != registry.ClientCutOff || cut.ClientID != "c" || (time.Until(cut.ExpiresAt)-registry.CutOffLifetime).Abs() > time.Minute {
			t.Errorf("the cut-off is %+v", cut)
		}
		if _, err := store.Client(t.Context(), "c"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("a deleted client is read: %v", err)
		}
		for _, id := range []string{"c", "nobody", "\x00", ""} {
			if err := store.Delete(t.Context(), id); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("Delete(%q): %v, want registry.ErrNotFound", id, err)
			}
		}
		if again := register(t, store, registry.Client{ID: "c"}); again.Version != 1 {
			t.Errorf("registered anew: %+v", again)
		}
		if read, err := store.Client(t.Context(), "c"); err != nil || len(read.Secrets) != 0 {
			t.Errorf("the new client has the secrets of the old: %+v, %v", read, err)
		}
		if other, err := store.Client(t.Context(), "d"); err != nil || len(other.Secrets) != 1 {
			t.Errorf("another client was changed: %+v, %v", other, err)
		}
	})
}
