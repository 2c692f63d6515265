//go:build rehearsal

package sqlstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/issuer/storetest"
)

// A store that shares its database with other issuers passes the suite, and changes
// nothing of theirs.
func TestStoreBesideOthers(t *testing.T) {
	t.Parallel()
	for name, made := range map[string]func(testing.TB) database{"SQLite": sqliteFile, "PostgreSQL": postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
				d := made(t)
				var others []*sqlstore.Store
				for i, name := range issuerNames[:3] {
					other := d.named(t, name)
					register(t, other, registry.Client{ID: "plain", Name: fmt.Sprint(i)})
					register(t, other, registry.Client{ID: "of another issuer"})
					revoke(t, other, registry.CutOff("plain"))
					others = append(others, other)
				}
				store := d.named(t, issuerNames[3])
				for _, c := range clients {
					register(t, store, c)
				}
				t.Cleanup(func() {
					for i, other := range others {
						if c, err := other.Client(context.WithoutCancel(t.Context()), "plain"); err != nil || c.Name != fmt.Sprint(i) {
							t.Errorf("the other issuer's client: %+v, %v", c, err)
						}
					}
				})
				return store
			})
		})
	}
}
