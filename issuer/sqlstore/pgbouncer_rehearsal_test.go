//go:build rehearsal

package sqlstore_test

import (
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/storetest"
)

// Behind PgBouncer the store passes the suite, in each mode.
func TestStoreBehindPgBouncer(t *testing.T) {
	t.Parallel()
	for name, mode := range pgbouncerModes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open := pooled(t, mode.mode, mode.pgx)
			t.Run("store", func(t *testing.T) {
				storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
					store := open(t)
					for _, c := range clients {
						register(t, store, c)
					}
					return store
				})
			})
		})
	}
}
