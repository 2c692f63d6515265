package storetest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// managerRefuses: every method refuses invalid arguments with registry.ErrInvalid and writes
// nothing.
func managerRefuses(t *testing.T, m registry.Manager) {
	c := register(t, m, registry.Client{ID: "c"})
	_, secret := registry.GenerateSecret()
	long := strings.Repeat("x", 1025)
	before, err := m.Changes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*registry.Client){
		"Client.Name":            func(c *registry.Client) { c.Name = long },
		"Client.AuthMethod":      func(c *registry.Client) { c.AuthMethod = "none" },
		"Client.Scopes":          func(c *registry.Client) { c.Scopes = []string{"two words"} },
		"Client.Audiences":       func(c *registry.Client) { c.Audiences = []string{"a b"} },
		"Client.Introspects":     func(c *registry.Client) { c.Introspects = []string{long} },
		"Client.DefaultAudience": func(c *registry.Client) { c.DefaultAudience = "x" },
		"Client.TokenTTL":        func(c *registry.Client) { c.TokenTTL = time.Millisecond },
		"Client.JWKS":            func(c *registry.Client) { c.JWKS = json.RawMessage(`{"keys":[{"kty":"EC","d":"x"}]}`) },
		"Client.JWKSURI":         func(c *registry.Client) { c.JWKSURI = "http://a.example" },
		"Client.TLSClientAuthSANIP": func(c *registry.Client) {
			c.TLSClientAuthSANDNS, c.TLSClientAuthSANIP = "a.example", "192.0.2.1"
		},
		"Client.Workloads[0].Subject": func(c *registry.Client) {
			c.Workloads = []registry.Workload{{Issuer: "https://a.example", Subject: "*", Audience: "b"}}
		},
		"Client.Metadata": func(c *registry.Client) { c.Metadata = map[string]string{"": "x"} },
	} {
		invalid := *c.Clone()
		change(&invalid)
		_, errUpdate := m.Update(t.Context(), invalid)
		invalid.ID = "new"
		_, errRegister := m.Register(t.Context(), invalid)
		for method, err := range map[string]error{"Register": errRegister, "Update": errUpdate} {
			refusedAs(t, method, err, name)
		}
	}
	_, errID := m.Register(t.Context(), registry.Client{ID: "a\x00"})
	refusedAs(t, "Register", errID, "Client.ID")
	_, errDots := m.Register(t.Context(), registry.Client{ID: ".."})
	refusedAs(t, "Register", errDots, "Client.ID")
	_, errTwice := m.Register(t.Context(), registry.Client{ID: "new", Secrets: []registry.Secret{secret, secret}})
	refusedAs(t, "Register", errTwice, "Client.Secrets")
	secret.Label = long
	refusedAs(t, "AddSecret", m.AddSecret(t.Context(), "c", secret), "Secret.Label")
	refusedAs(t, "AddSecret", m.AddSecret(t.Context(), "c", registry.Secret{ID: "x", Hash: "plain"}), "Secret.Hash")
	_, errOverlap := m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: -time.Second})
	refusedAs(t, "RotateSecret", errOverlap, "Rotation.Overlap")
	_, errLabel := m.RotateSecret(t.Context(), "c", registry.Rotation{Label: "\xff"})
	refusedAs(t, "RotateSecret", errLabel, "Rotation.Label")
	_, errKind := m.Revoke(t.Context(), registry.Change{})
	refusedAs(t, "Revoke", errKind, "Change.Kind")
	if after, err := m.Changes(t.Context(), 0); err != nil || after.End != before.End {
		t.Errorf("the feed ends at %d after %d, %v: something was written", after.End, before.End, err)
	}
}

// refusedAs fails unless the error names the field.
func refusedAs(t *testing.T, method string, err error, field string) {
	t.Helper()
	var invalid *registry.InvalidError
	if !errors.Is(err, registry.ErrInvalid) || !errors.As(err, &invalid) || invalid.Field != field {
		t.Errorf("%s: %v, want a *registry.InvalidError of %s", method, err, field)
	}
}
