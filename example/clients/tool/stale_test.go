package tool

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestStale names each reason, and no secret without one.
func TestStale(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(days float64) time.Time { return now.Add(-time.Duration(days * 24 * float64(time.Hour))) }
	c := registry.Client{ID: "a", Secrets: []registry.Secret{
		{ID: "fresh", Hash: "sha256:", CreatedAt: ago(9)},
		{ID: "never used", Hash: "sha256:", CreatedAt: ago(100)},
		{ID: "long ago", Hash: "sha256:", CreatedAt: ago(200), LastUsedAt: ago(91)},
		{ID: "used", Hash: "sha256:", CreatedAt: ago(200), LastUsedAt: ago(89)},
		{ID: "ends", Hash: "sha256:", CreatedAt: ago(9), ExpiresAt: ago(-13)},
		{ID: "ends later", Hash: "sha256:", CreatedAt: ago(9), ExpiresAt: ago(-15)},
		{ID: "old", Hash: "sha256:", CreatedAt: ago(100), LastUsedAt: ago(1)},
		{ID: "just before", Hash: "sha256:", CreatedAt: ago(100), LastUsedAt: ago(9).Add(30 * time.Second)},
		{ID: "chosen", Hash: bcryptHash, CreatedAt: ago(9)},
	}}
	want := map[string][]string{
		"never used": {"unused"}, "long ago": {"unused"}, "ends": {"expiring"}, "old": {"old-in-use"}, "chosen": {"imported"},
	}
	found := stale(&c, now, days(90), days(14))
	for _, f := range found {
		if !slices.Equal(f.Reasons, want[f.SecretID]) {
			t.Errorf("%s: %q, want %q", f.SecretID, f.Reasons, want[f.SecretID])
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d secrets, want %d", len(found), len(want))
	}
}

// TestStaleSecrets reads the secrets of all clients.
func TestStaleSecrets(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, newBench func(*testing.T, ...registry.Client) *bench) {
		b := newBench(t)
		b.do("add", "a", "-audience", apiURL)
		if out := b.do("stale-secrets"); !strings.Contains(out, "no secret is stale") {
			t.Error(out)
		}
		b.do("rotate-secret", "a", "-overlap", "24h")
		imported, err := registry.ImportSecret(bcryptHash)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.clients.AddSecret(t.Context(), "a", imported); err != nil {
			t.Fatal(err)
		}
		answer := jsonOf[struct{ Secrets []staleSecret }](b, Changes, "stale-secrets")
		if len(answer.Secrets) != 2 || answer.Secrets[0].Reasons[0] != "expiring" || answer.Secrets[1].Reasons[0] != "imported" {
			t.Errorf("%+v", answer)
		}
		if status, out, _ := b.run("stale-secrets"); status != Changes || !strings.Contains(out, "expiring") {
			t.Errorf("status %d, %s", status, out)
		}
		b.refused("1 day or more", "stale-secrets", "-unused", "0")
	})
}
