//go:build rehearsal

package gateway

import "testing"

// TestFloodOfAMillionClients is TestFloodOfClients with more of them.
func TestFloodOfAMillionClients(t *testing.T) { floodOfClients(t, 1_000_000) }

// TestFloodOfAMillionNetworks is TestFloodOfNetworks with more of them.
func TestFloodOfAMillionNetworks(t *testing.T) { floodOfNetworks(t, 1_000_000) }
