package registry

import (
	"context"
	"slices"
	"time"
)

// Succeeded keeps the networks from which clients succeeded.
func (m *Memory) Succeeded(_ context.Context, successes []ClientNetwork) error {
	if err := m.lock(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, n := range successes {
		if m.clients[n.ClientID] == nil {
			continue
		}
		known := slices.Clone(m.networks[n.ClientID])
		if i := slices.IndexFunc(known, func(k ClientNetwork) bool { return k.Network == n.Network }); i >= 0 {
			if known[i].At.After(n.At) {
				n.At = known[i].At
			}
			known = slices.Delete(known, i, i+1)
		}
		known = append(known, n)
		slices.SortStableFunc(known, func(a, b ClientNetwork) int { return b.At.Compare(a.At) })
		m.networks[n.ClientID] = known[:min(len(known), MaxNetworks)]
	}
	return nil
}

// Networks returns the networks of the client.
func (m *Memory) Networks(_ context.Context, clientID string) ([]string, error) {
	if err := m.lock(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	oldest := m.now().Add(-NetworkLifetime)
	var networks []string
	for _, n := range m.networks[clientID] {
		if n.At.After(oldest) {
			networks = append(networks, n.Network)
		}
	}
	return networks, nil
}

// sweepNetworks drops what has expired.
func (m *Memory) sweepNetworks(now time.Time) {
	m.networks = prune(m.networks, func(_ string, known []ClientNetwork) bool {
		return !slices.ContainsFunc(known, func(n ClientNetwork) bool { return n.At.After(now.Add(-NetworkLifetime)) })
	})
}
