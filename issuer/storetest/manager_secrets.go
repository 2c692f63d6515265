package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// managerSecrets: adding and removing secrets does not change the version.
func managerSecrets(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	_, secret := registry.GenerateSecret()
	secret.Label, secret.LastUsedAt = "spring", time.Now() // the latter is the store's to set
	if change := announces(t, m, "c", func() error { return m.AddSecret(t.Context(), "c", secret) }); change.Kind != registry.ClientChanged {
		t.Errorf("the feed says %+v, want that a client has changed", change)
	}
	c, err := m.Client(t.Context(), "c")
	if err != nil || c.Version != 1 || len(c.Secrets) != 1 || c.Secrets[0].Hash != secret.Hash || c.Secrets[0].Label != "spring" ||
		!c.Secrets[0].LastUsedAt.IsZero() || time.Since(c.Secrets[0].CreatedAt).Abs() > time.Minute {
		t.Errorf("read %+v, %v", c, err)
	}
	if err := m.AddSecret(t.Context(), "c", secret); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("the same secret again: %v, want registry.ErrConflict", err)
	}
	if err := m.AddSecret(t.Context(), "nobody", secret); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("to an unknown client: %v, want registry.ErrNotFound", err)
	}
	if err := m.AddSecret(t.Context(), "c", registry.Secret{ID: "x", Hash: "plain"}); err == nil {
		t.Error("a secret without a hash was accepted")
	}
	announces(t, m, "c", func() error { return m.RemoveSecret(t.Context(), "c", secret.ID, false) })
	for _, ids := range [][2]string{{"c", secret.ID}, {"nobody", secret.ID}, {"c", ""}} {
		if err := m.RemoveSecret(t.Context(), ids[0], ids[1], ids[1] == ""); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("RemoveSecret(%q, %q): %v, want registry.ErrNotFound", ids[0], ids[1], err)
		}
	}
	if c, err := m.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 0 {
		t.Errorf("read %+v, %v", c, err)
	}
}

// wantInFeed fails unless the feed still has the change.
func wantInFeed(t *testing.T, m registry.Manager, want registry.Change) {
	t.Helper()
	for _, c := range follow(t, m, 0) {
		if c.Sequence == want.Sequence && c.Kind == want.Kind && c.ClientID == want.ClientID && c.SecretID == want.SecretID {
			return
		}
	}
	t.Errorf("the feed has lost %+v", want)
}

// managerRevokingSecrets: removing a secret with revocation adds one entry, of the secret, or
// of the client when all its secrets are removed.
func managerRevokingSecrets(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	var secrets []registry.Secret
	for range 3 {
		_, secret := registry.GenerateSecret()
		if err := m.AddSecret(t.Context(), "c", secret); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
	}
	var cuts []registry.Change
	for _, secret := range secrets[:2] {
		cut := announces(t, m, "c", func() error { return m.RemoveSecret(t.Context(), "c", secret.ID, true) })
		if cut.Kind != registry.SecretCutOff || cut.SecretID != secret.ID || !isKept(cut) {
			t.Errorf("the feed says %+v, want a cut-off of secret %q", cut, secret.ID)
		}
		cuts = append(cuts, cut)
	}
	before := follow(t, m, 0)
	if plain, err := m.RotateSecret(t.Context(), "c", registry.Rotation{Revoke: true, Overlap: time.Hour}); err == nil || plain != "" {
		t.Errorf("a rotation with overlap and revocation: %q, %v", plain, err)
	}
	if after := follow(t, m, 0); len(after) != len(before) {
		t.Errorf("a rotation that was refused is in the feed: %+v", after)
	}
	var plain string
	cut := announces(t, m, "c", func() (err error) {
		plain, err = m.RotateSecret(t.Context(), "c", registry.Rotation{Revoke: true})
		return err
	})
	if cut.Kind != registry.ClientCutOff || !isKept(cut) {
		t.Errorf("the feed says %+v, want a cut-off", cut)
	}
	for _, cut := range cuts {
		wantInFeed(t, m, cut)
	}
	c, err := m.Client(t.Context(), "c")
	if err != nil || len(c.Secrets) != 1 || !c.Secrets[0].Matches(plain) {
		t.Errorf("read %+v, %v, want the new secret alone", c, err)
	}
}

// managerRotate: the new secret is valid, and the others are until the overlap ends.
func managerRotate(t *testing.T, m registry.Manager) {
	register(t, m, registry.Client{ID: "c"})
	var first, second string
	announces(t, m, "c", func() (err error) {
		first, err = m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour, Label: "first"})
		return err
	})
	announces(t, m, "c", func() (err error) {
		second, err = m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: time.Hour, Label: "second"})
		return err
	})
	if old, ok := inForce(t, m, first); !ok || old.Label != "first" || time.Until(old.ExpiresAt) > time.Hour || time.Until(old.ExpiresAt) < 50*time.Minute {
		t.Errorf("the old secret: %+v, valid %v", old, ok)
	}
	if fresh, ok := inForce(t, m, second); !ok || fresh.Label != "second" || !fresh.ExpiresAt.IsZero() {
		t.Errorf("the new secret: %+v, valid %v", fresh, ok)
	}
	if _, err := m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: 10 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if old, _ := inForce(t, m, first); time.Until(old.ExpiresAt) > time.Hour {
		t.Errorf("a longer overlap lengthens what is left: %+v", old)
	}
	last, err := m.RotateSecret(t.Context(), "c", registry.Rotation{})
	if err != nil {
		t.Fatal(err)
	}
	for plain, want := range map[string]bool{first: false, second: false, last: true} {
		if _, ok := inForce(t, m, plain); ok != want {
			t.Errorf("after a rotation without overlap: valid %v, want %v", ok, want)
		}
	}
	if _, err := m.RotateSecret(t.Context(), "nobody", registry.Rotation{}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("of an unknown client: %v, want registry.ErrNotFound", err)
	}
	if plain, err := m.RotateSecret(t.Context(), "c", registry.Rotation{Overlap: -time.Second}); err == nil || plain != "" {
		t.Errorf("a negative overlap: %q, %v", plain, err)
	}
}

// inForce finds a secret of client c that has not expired.
func inForce(t *testing.T, m registry.Manager, plain string) (registry.Secret, bool) {
	t.Helper()
	c, err := m.Client(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	i := slices.IndexFunc(c.Secrets, func(s registry.Secret) bool { return s.Matches(plain) && !s.Expired(now) })
	if i < 0 {
		return registry.Secret{}, false
	}
	return c.Secrets[i], true
}
