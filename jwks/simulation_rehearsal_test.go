//go:build rehearsal

package jwks

import "testing"

// TestRotationSimulationOfYears runs TestRotationSimulation with more seeds. The
// first and the ninth run the default policy for more than a year each.
func TestRotationSimulationOfYears(t *testing.T) {
	seeds := make([]uint64, 24)
	for i := range seeds {
		seeds[i] = uint64(i) + 1
	}
	simulate(t, 15, seeds)
}
