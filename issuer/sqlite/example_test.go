//go:build !nosqlite

package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
)

// A store of one's own machine: a client, its secret, and a new secret a while
// later, with the old one good for another day.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := sqlite.Open(ctx, filepath.Join(dir, "issuer.db")) // for issuer.Config.Store
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	_, err = store.Register(ctx, registry.Client{ID: "billing", Audiences: []string{"https://api.example.com"}, Scopes: []string{"orders:read"}})
	if err != nil {
		log.Fatal(err)
	}
	first, err := store.RotateSecret(ctx, "billing", registry.Rotation{Label: "first"}) // show it to its owner, and keep it nowhere
	if err != nil {
		log.Fatal(err)
	}
	second, err := store.RotateSecret(ctx, "billing", registry.Rotation{Overlap: 24 * time.Hour, Label: "second"})
	if err != nil {
		log.Fatal(err)
	}
	client, err := store.Client(ctx, "billing")
	if err != nil {
		log.Fatal(err)
	}
	for _, secret := range client.Secrets {
		fmt.Println(secret.Label, "expires:", !secret.ExpiresAt.IsZero())
	}
	fmt.Println("same secret:", first == second)
	// Output:
	// first expires: true
	// second expires: false
	// same secret: false
}
