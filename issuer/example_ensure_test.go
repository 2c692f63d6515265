package issuer_test

import (
	"context"
	"fmt"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A lasting store, whose first client is registered at the first start. At later starts
// registry.Ensure finds the client and does not change it.
func ExampleNew_lastingStore() {
	ctx := context.Background()
	// In a program:
	//
	//	store, err := sqlite.Open(ctx, "issuer.db")
	//
	// or sqlstore.Open with a PostgreSQL URL. A Memory keeps this example short.
	store, err := registry.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		if err := startWith(ctx, store); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// registered: show the secret of 81 characters to its owner, once
	// the client was there already
}

func startWith(ctx context.Context, store registry.Manager) error {
	secret, err := registry.Ensure(ctx, store, registry.Client{
		ID:        "reporter",
		Scopes:    []string{"orders:read"},
		Audiences: []string{"https://api.example.com"},
	})
	switch {
	case err != nil:
		return err
	case secret != "":
		fmt.Printf("registered: show the secret of %d characters to its owner, once\n", len(secret))
	default:
		fmt.Println("the client was there already")
	}
	key, err := jose.Generate("ES256") // in a program: jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{})
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store})
	if err != nil {
		return err
	}
	return iss.Close()
}
