package registry_test

import (
	"context"
	"fmt"
	"log"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Every client of a tenant is disabled, page by page. A disabled client gets no tokens, and
// those that it has are revoked.
func ExampleManager() {
	ctx := context.Background()
	memory, err := registry.NewMemory(
		registry.Client{ID: "acme-billing", Metadata: map[string]string{"tenant": "acme"}},
		registry.Client{ID: "acme-reports", Metadata: map[string]string{"tenant": "acme"}},
		registry.Client{ID: "other", Metadata: map[string]string{"tenant": "other"}},
	)
	if err != nil {
		log.Fatal(err)
	}
	var store registry.Manager = memory // or that of sqlite.Open or sqlstore.Open
	if err := disableTenant(ctx, store, "acme"); err != nil {
		log.Fatal(err)
	}
	clients, err := store.List(ctx, registry.Query{})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range clients {
		fmt.Println(c.ID, "disabled:", c.Disabled)
	}
	// Output:
	// acme-billing disabled: true
	// acme-reports disabled: true
	// other disabled: false
}

func disableTenant(ctx context.Context, store registry.Manager, tenant string) error {
	var query registry.Query
	for {
		page, err := store.List(ctx, query)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			query.After = c.ID
			if c.Metadata["tenant"] != tenant {
				continue
			}
			c.Disabled = true
			if _, err := store.Update(ctx, c); err != nil { // ErrConflict: read it again, another call has changed it
				return fmt.Errorf("disabling %s: %w", c.ID, err)
			}
		}
	}
}
