package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// networks: the latest networks of a client are kept, and no others.
func networks(t *testing.T, open opener) {
	store := open(t, registry.Client{ID: "c"}, registry.Client{ID: "other"}, registry.Client{ID: oddID})
	recorder, ok := store.(registry.NetworkRecorder)
	if !ok {
		t.Skip("the store is no registry.NetworkRecorder")
	}
	now := time.Now()
	succeeded := func(batch ...registry.ClientNetwork) {
		t.Helper()
		if err := recorder.Succeeded(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	want := func(id string, want ...string) {
		t.Helper()
		got, err := recorder.Networks(t.Context(), id)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Networks(%q) = %q, %v, want %q", id, got, err, want)
		}
	}
	want("c")
	succeeded()
	succeeded(
		registry.ClientNetwork{ClientID: "c", Network: "192.0.2.0/24", At: now.Add(-time.Hour)},
		registry.ClientNetwork{ClientID: "c", Network: "2001:db8::/48", At: now.Add(-2 * time.Hour)},
		registry.ClientNetwork{ClientID: "c", Network: "192.0.2.0/24", At: now.Add(-3 * time.Hour)},
		registry.ClientNetwork{ClientID: oddID, Network: "192.0.2.0/24", At: now},
		registry.ClientNetwork{ClientID: "nobody", Network: "192.0.2.0/24", At: now},
		registry.ClientNetwork{ClientID: "c", Network: "198.51.100.0/24", At: now.Add(time.Minute - registry.NetworkLifetime)},
		registry.ClientNetwork{ClientID: "c", Network: "203.0.113.0/24", At: now.Add(-time.Minute - registry.NetworkLifetime)},
	)
	want("c", "192.0.2.0/24", "2001:db8::/48", "198.51.100.0/24")
	want(oddID, "192.0.2.0/24")
	want("other")
	want("nobody")
	succeeded(registry.ClientNetwork{ClientID: "c", Network: "2001:db8::/48", At: now})
	want("c", "2001:db8::/48", "192.0.2.0/24", "198.51.100.0/24")

	// At the same time from more networks than are kept.
	var latest []string
	var group sync.WaitGroup
	for n := range 3 * registry.MaxNetworks {
		network := registry.ClientNetwork{ClientID: "other", Network: fmt.Sprint(n), At: now.Add(-time.Duration(n) * time.Second)}
		if n < registry.MaxNetworks {
			latest = append(latest, network.Network)
		}
		group.Go(func() {
			if err := recorder.Succeeded(t.Context(), []registry.ClientNetwork{network, {ClientID: "c", Network: "2001:db8::/48", At: now}}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	want("other", latest...)

	m, ok := store.(registry.Manager)
	if !ok {
		return
	}
	if err := m.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	register(t, m, registry.Client{ID: "c"})
	want("c")
}
