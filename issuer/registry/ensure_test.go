package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
)

// The first call registers the client and returns its secret. Later calls change nothing.
func TestEnsure(t *testing.T) {
	m := newStore(t)
	c := app()
	c.Secrets = nil
	secret, err := Ensure(t.Context(), m, c)
	if err != nil || secret == "" {
		t.Fatalf("%q, %v", secret, err)
	}
	stored, err := m.Client(t.Context(), "app")
	if err != nil || len(stored.Secrets) != 1 || !stored.Secrets[0].Matches(secret) || stored.Scopes[0] != "orders:read" {
		t.Errorf("%+v, %v", stored, err)
	}
	c.Name = "changed"
	if secret, err := Ensure(t.Context(), m, c); secret != "" || err != nil {
		t.Errorf("again: %q, %v", secret, err)
	}
	if stored, err := m.Client(t.Context(), "app"); err != nil || stored.Name != "" || len(stored.Secrets) != 1 || stored.Version != 1 {
		t.Errorf("%+v, %v", stored, err)
	}
}

// Of replicas that start together one gets the secret.
func TestEnsureByFifty(t *testing.T) {
	m := newStore(t)
	var mu sync.Mutex
	var told []string
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			secret, err := Ensure(t.Context(), m, Client{ID: "app"})
			if err != nil {
				t.Error(err)
			}
			if secret != "" {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, secret)
			}
		})
	}
	group.Wait()
	c, err := m.Client(t.Context(), "app")
	if err != nil || len(told) != 1 || !c.Secrets[0].Matches(told[0]) {
		t.Errorf("%d callers got a secret, %v", len(told), err)
	}
}

// broken is a Manager whose methods fail.
type broken struct {
	*Memory
	client, register error
}

func (b *broken) Client(ctx context.Context, id string) (*Client, error) {
	if b.client != nil {
		return nil, b.client
	}
	return b.Memory.Client(ctx, id)
}

func (b *broken) Register(context.Context, Client) (Client, error) { return Client{}, b.register }

func TestEnsureRefuses(t *testing.T) {
	down := errors.New("connection refused")
	for name, tt := range map[string]struct {
		manager Manager
		client  Client
		want    string
	}{
		"no manager":      {nil, Client{ID: "a"}, "needs a Manager"},
		"with a secret":   {newStore(t), app(), "Client.Secrets"},
		"not valid":       {newStore(t), Client{ID: "a", TokenTTL: -1}, "Client.TokenTTL"},
		"cannot read":     {&broken{newStore(t), down, nil}, Client{ID: "a"}, "connection refused"},
		"cannot register": {&broken{newStore(t), nil, down}, Client{ID: "a"}, "connection refused"},
	} {
		secret, err := Ensure(t.Context(), tt.manager, tt.client)
		if secret != "" || err == nil || !strings.HasPrefix(err.Error(), "registry: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v", name, secret, err)
		}
	}
	if secret, err := Ensure(t.Context(), &broken{newStore(t), nil, ErrConflict}, Client{ID: "a"}); secret != "" || err != nil {
		t.Errorf("another replica was faster: %q, %v", secret, err)
	}
}
