//go:build rehearsal

package sqlstore_test

import "testing"

func TestKilledAHundredTimes(t *testing.T) { surviveKills(t, 100) }
