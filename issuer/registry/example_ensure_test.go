package registry_test

import (
	"context"
	"fmt"
	"log"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// start is what a program does at each start with its store, such as that of
// sqlite.Open.
func start(ctx context.Context, store registry.Manager) error {
	secret, err := registry.Ensure(ctx, store, registry.Client{
		ID:        "reporter",
		Audiences: []string{"https://api.example.com"},
		Scopes:    []string{"orders:read"},
	})
	if err != nil {
		return err
	}
	if secret == "" {
		fmt.Println("reporter is registered already: its secret stays valid")
		return nil
	}
	fmt.Println("reporter is new: give its owner the secret of", len(secret), "characters")
	return nil
}

// The first start registers the client and gets its secret. A restart changes nothing.
// A lost secret is replaced with RotateSecret.
func ExampleEnsure() {
	ctx := context.Background()
	store, err := registry.NewMemory()
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // the first start, and a restart with the same store
		if err := start(ctx, store); err != nil {
			log.Fatal(err)
		}
	}
	secret, err := store.RotateSecret(ctx, "reporter", registry.Rotation{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a new secret of", len(secret), "characters; the old one is gone")
	// Output:
	// reporter is new: give its owner the secret of 81 characters
	// reporter is registered already: its secret stays valid
	// a new secret of 81 characters; the old one is gone
}
