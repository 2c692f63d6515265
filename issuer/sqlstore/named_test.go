package sqlstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"A", "a-b", "a b", "ä", strings.Repeat("a", 21), `"`} {
		if _, err := sqlstore.Open(t.Context(), sqlstore.Config{Driver: "pgx", DSN: "x", Name: name}); err == nil || !strings.Contains(err.Error(), "Config.Name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// named opens the store of the issuer with this name.
func (d database) named(t *testing.T, name string) *sqlstore.Store {
	t.Helper()
	c := d.config()
	c.Name, c.MaxConns = name, 4
	return configured{c}.open(t)
}

// issuerNames are easily confused in the names of tables.
var issuerNames = []string{"", "feed", "feed_feed", "a"}

// Issuers with different names share a database and see nothing of each other. The tag
// rehearsal adds the whole suite.
func TestNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		later := time.Now().Add(time.Hour)
		var stores []*sqlstore.Store
		for _, name := range issuerNames {
			stores = append(stores, d.named(t, name))
		}
		for i, store := range stores {
			_, secret := registry.GenerateSecret()
			register(t, store, registry.Client{ID: "c", Name: fmt.Sprint(i), Secrets: []registry.Secret{secret}})
			revoke(t, store, token(fmt.Sprint("jti-", i), later))
			if first, err := store.Once(t.Context(), "s", "i", later); err != nil || !first {
				t.Errorf("%q: a replay record of another issuer counts: %v, %v", issuerNames[i], first, err)
			}
			if err := store.Succeeded(t.Context(), []registry.ClientNetwork{{ClientID: "c", Network: fmt.Sprint("network ", i), At: time.Now()}}); err != nil {
				t.Error(err)
			}
			keys, err := store.KeyStore("issuer", make([]byte, 32))
			if err != nil {
				t.Fatal(err)
			}
			if saved, err := keys.Save(t.Context(), nil, []byte("state")); err != nil || !saved {
				t.Errorf("%q: the keys of another issuer are found: %v, %v", issuerNames[i], saved, err)
			}
		}
		if err := stores[0].Delete(t.Context(), "c"); err != nil {
			t.Error(err)
		}
		for i, store := range stores[1:] {
			i++
			if list, err := store.List(t.Context(), registry.Query{}); err != nil || len(list) != 1 || list[0].Name != fmt.Sprint(i) || len(list[0].Secrets) != 1 {
				t.Errorf("%q has the clients %+v, %v", issuerNames[i], list, err)
			}
			if page, err := store.Changes(t.Context(), 0); err != nil || len(page.Changes) != 2 || page.Changes[1].TokenID != fmt.Sprint("jti-", i) {
				t.Errorf("%q has the feed %+v, %v", issuerNames[i], page, err)
			}
			if networks, err := store.Networks(t.Context(), "c"); err != nil || len(networks) != 1 || networks[0] != fmt.Sprint("network ", i) {
				t.Errorf("%q has the networks %q, %v", issuerNames[i], networks, err)
			}
		}
	})
}
