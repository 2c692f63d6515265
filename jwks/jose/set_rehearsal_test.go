//go:build rehearsal

package jose

import (
	"testing"
	"time"
)

// A set of ten thousand keys takes ten times as long as one of a thousand, not a
// hundred times.
func TestParseSetOfTenThousand(t *testing.T) {
	began := time.Now()
	parseSetOf(t, 10_000)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
