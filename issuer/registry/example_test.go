package registry_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Give the secret to its owner and keep only the hash.
func ExampleGenerateSecret() {
	plain, secret := registry.GenerateSecret()
	fmt.Println(plain[:len("m2m_")], len(plain), "characters")
	fmt.Println(strings.HasPrefix(plain, "m2m_"+secret.ID+"_"))
	fmt.Println(secret.Hash[:len("sha256:")], strings.Contains(secret.Hash, plain))
	// Output:
	// m2m_ 81 characters
	// true
	// sha256: false
}

// A client of another system keeps its secret: its hash is imported. The issuer
// grants tokens for it with Config.ImportedSecrets.
func ExampleImportSecret() {
	secret, err := registry.ImportSecret("$2b$10$F0Nd9OwfdBEQoVPNBQEtIOaX5Rb2aTIwVkz8yxDT3J8E6.Qg3GS3W")
	if err != nil {
		log.Fatal(err)
	}
	store, err := registry.NewMemory(registry.Client{
		ID: "legacy", Secrets: []registry.Secret{secret}, Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := store.Client(context.Background(), "legacy")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("generated:", client.Secrets[0].Generated())

	_, err = registry.ImportSecret("5f4dcc3b5aa765d61d8327deb882cf99")
	fmt.Println(err)
	// Output:
	// generated: false
	// registry: Secret.Hash: the hash has an unknown form: write what GenerateSecret, HashSecret or ImportSecret gives
}

// Clients that are configuration live in memory. Put replaces one; issuers follow
// within 2 s.
func ExampleNewMemory() {
	_, secret := registry.GenerateSecret()
	client := registry.Client{
		ID: "reporter", Secrets: []registry.Secret{secret},
		Audiences: []string{"https://api.example.com"}, Scopes: []string{"orders:read"},
	}
	store, err := registry.NewMemory(client)
	if err != nil {
		log.Fatal(err)
	}
	client.Scopes = append(client.Scopes, "orders:write")
	if err := store.Put(client); err != nil {
		log.Fatal(err)
	}
	stored, err := store.Client(context.Background(), "reporter")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stored.Scopes, "version", stored.Version)

	client.TokenTTL = time.Millisecond
	fmt.Println(store.Put(client))
	// Output:
	// [orders:read orders:write] version 2
	// registry: Client.TokenTTL: is 1ms: write whole seconds, or 0 for the issuer's
}

// A secret is replaced without downtime: both work for a day, and the store shows which
// of them is used.
func ExampleMemory_RotateSecret() {
	ctx := context.Background()
	store, err := registry.NewMemory()
	if err != nil {
		log.Fatal(err)
	}
	old, err := registry.Ensure(ctx, store, registry.Client{ID: "reporter", Audiences: []string{"https://api.example.com"}})
	if err != nil {
		log.Fatal(err)
	}
	// 1. Rotate, and give the new secret to its owner.
	plain, err := store.RotateSecret(ctx, "reporter", registry.Rotation{Overlap: 24 * time.Hour, Label: "2026"})
	if err != nil {
		log.Fatal(err)
	}
	// 2. Until the old secret expires, LastUsedAt tells whether it is still used.
	client, err := store.Client(ctx, "reporter")
	if err != nil {
		log.Fatal(err)
	}
	for _, secret := range client.Secrets {
		fmt.Printf("%q expires: %v, used: %v, old: %v, new: %v\n", secret.Label, !secret.ExpiresAt.IsZero(), !secret.LastUsedAt.IsZero(),
			secret.Matches(old), secret.Matches(plain))
	}
	// 3. A secret that leaked is removed at once, with the tokens that it got.
	if err := store.RemoveSecret(ctx, "reporter", client.Secrets[0].ID, true); err != nil {
		log.Fatal(err)
	}
	// Output:
	// "" expires: true, used: false, old: true, new: false
	// "2026" expires: false, used: false, old: false, new: true
}
