package service

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// RegisterClients registers the clients that the environment names, exactly as
// it names them: CLIENT_ID and CLIENT_SECRET, which may read and write orders,
// and CLIENT2_ID and CLIENT2_SECRET, which may read. If it names none and there
// is none, it makes the client demo and returns its secret, which is known to
// nobody else.
func RegisterClients(ctx context.Context, store registry.Manager, audience string) (demoSecret string, err error) {
	if id := os.Getenv("CLIENT_ID"); id != "" && id == os.Getenv("CLIENT2_ID") {
		return "", errors.New("CLIENT_ID and CLIENT2_ID are the same: name two clients")
	}
	named := false
	for _, prefix := range []string{"CLIENT", "CLIENT2"} {
		id, plain := os.Getenv(prefix+"_ID"), os.Getenv(prefix+"_SECRET")
		if id == "" && plain == "" {
			continue
		}
		if id == "" || plain == "" {
			return "", fmt.Errorf("%s_ID and %s_SECRET: set both", prefix, prefix)
		}
		c := registry.Client{ID: id, Scopes: []string{"orders:read", "orders:write"}, Audiences: []string{audience}}
		if prefix == "CLIENT2" {
			c.Scopes = c.Scopes[:1]
		}
		if err := registerExactly(ctx, store, c, plain); err != nil {
			return "", fmt.Errorf("%s_ID, %s_SECRET: %w", prefix, prefix, err)
		}
		named = true
	}
	if named {
		return "", nil
	}
	if clients, err := store.List(ctx, registry.Query{Limit: 1}); err != nil || len(clients) > 0 {
		return "", err
	}
	plain, secret := registry.GenerateSecret()
	_, err = store.Register(ctx, registry.Client{
		ID: "demo", Secrets: []registry.Secret{secret},
		Scopes: []string{"orders:read", "orders:write"}, Audiences: []string{audience},
	})
	if errors.Is(err, registry.ErrConflict) { // another replica was faster, and shows its secret
		return "", nil
	}
	return plain, err
}

// registerExactly makes the client what is wanted, whatever it was before.
// Replicas that start together do this at the same time.
func registerExactly(ctx context.Context, store registry.Manager, want registry.Client, plain string) error {
	secret, err := registry.HashSecret(plain)
	if err != nil {
		return err
	}
	fresh := want
	fresh.Secrets = []registry.Secret{secret}
	if _, err = store.Register(ctx, fresh); !errors.Is(err, registry.ErrConflict) {
		return err
	}
	known, err := store.Client(ctx, want.ID)
	if err != nil {
		return err
	}
	want.Version, want.Disabled = known.Version, known.Disabled // a restart undoes no decision
	if _, err := store.Update(ctx, want); err != nil && !errors.Is(err, registry.ErrConflict) {
		return err
	}
	matched := false
	var others []string
	for i := range known.Secrets {
		if s := &known.Secrets[i]; !matched && s.ExpiresAt.IsZero() && s.Matches(plain) {
			matched = true
		} else {
			others = append(others, s.ID)
		}
	}
	if !matched {
		if err := store.AddSecret(ctx, want.ID, secret); err != nil {
			return err
		}
	}
	for _, id := range others {
		if err := store.RemoveSecret(ctx, want.ID, id); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
	}
	return nil
}
