package registry

import (
	"context"
	"slices"
)

// NetworkLister is implemented by a [NetworkRecorder] that can list the networks of all
// clients. The issuer reads the list when it starts. It then knows the networks of
// clients without a query, which a network that guesses secrets could cause.
type NetworkLister interface {
	// LatestNetworks returns the latest networks of all clients, up to the limit, the
	// latest first.
	LatestNetworks(ctx context.Context, limit int) ([]ClientNetwork, error)
}

var _ NetworkLister = (*Memory)(nil)

// LatestNetworks returns the latest networks of all clients.
func (m *Memory) LatestNetworks(_ context.Context, limit int) ([]ClientNetwork, error) {
	if err := m.lock(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	oldest := m.now().Add(-NetworkLifetime)
	var all []ClientNetwork
	for id, networks := range m.networks {
		for _, n := range networks {
			if m.clients[id] != nil && n.At.After(oldest) {
				all = append(all, n)
			}
		}
	}
	slices.SortFunc(all, func(a, b ClientNetwork) int { return b.At.Compare(a.At) })
	return all[:min(len(all), max(0, limit))], nil
}
