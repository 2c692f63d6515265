//go:build rehearsal

package jose

import (
	"testing"
	"time"
)

// The time to read a set is linear in the number of keys.
func TestParseSetOfTenThousand(t *testing.T) {
	began := time.Now()
	parseSetOf(t, 10_000)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
