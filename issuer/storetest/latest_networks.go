package storetest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// latestNetworks: the list has the networks of all clients, the latest first, up to the
// limit. Networks older than registry.NetworkLifetime are not in it.
func latestNetworks(t *testing.T, open opener) {
	store := open(t, registry.Client{ID: "c"}, registry.Client{ID: oddID})
	recorder, ok1 := store.(registry.NetworkRecorder)
	lister, ok2 := store.(registry.NetworkLister)
	if !ok1 || !ok2 {
		t.Skip("the store is not both a registry.NetworkRecorder and a registry.NetworkLister")
	}
	lists := func(limit int, want ...registry.ClientNetwork) {
		t.Helper()
		got, err := lister.LatestNetworks(t.Context(), limit)
		same := slices.EqualFunc(got, want, func(a, b registry.ClientNetwork) bool {
			return a.ClientID == b.ClientID && a.Network == b.Network && a.At.Sub(b.At).Abs() < time.Second
		})
		if err != nil || !same {
			t.Errorf("LatestNetworks(%d) = %v, %v, want %v", limit, got, err, want)
		}
	}
	lists(10)
	now := time.Now()
	var all []registry.ClientNetwork
	for n := range 6 {
		id := "c"
		if n%2 == 0 {
			id = oddID
		}
		all = append(all, registry.ClientNetwork{ClientID: id, Network: "192.0.2." + strconv.Itoa(n), At: now.Add(-time.Duration(n) * time.Minute)})
	}
	old := registry.ClientNetwork{ClientID: "c", Network: "203.0.113.0/24", At: now.Add(-time.Minute - registry.NetworkLifetime)}
	if err := recorder.Succeeded(t.Context(), append([]registry.ClientNetwork{old}, all...)); err != nil {
		t.Fatal(err)
	}
	lists(10, all...)
	lists(3, all[:3]...)
	lists(0)
}
