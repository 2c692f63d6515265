//go:build !nosqlite

package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
)

// run is a program with one client, from its start to its end.
func run(ctx context.Context, path string) error {
	store, err := sqlite.Open(ctx, path) // for issuer.Config.Store
	if err != nil {
		return err
	}
	defer store.Close()
	secret, err := registry.Ensure(ctx, store, registry.Client{
		ID: "billing", Audiences: []string{"https://api.example.com"}, Scopes: []string{"orders:read"},
	})
	if err != nil {
		return err
	}
	client, err := store.Client(ctx, "billing")
	if err != nil {
		return err
	}
	fmt.Println("new secret to show:", secret != "", "scopes:", client.Scopes, "secrets:", len(client.Secrets))
	return nil
}

// A store that lasts: the second start finds the client of the first.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "issuer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for range 2 {
		if err := run(context.Background(), filepath.Join(dir, "issuer.db")); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// new secret to show: true scopes: [orders:read] secrets: 1
	// new secret to show: false scopes: [orders:read] secrets: 1
}
