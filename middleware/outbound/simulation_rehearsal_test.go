//go:build rehearsal

package outbound

import "testing"

// TestSixHours holds 500 sources against six hours of trouble.
func TestSixHours(t *testing.T) { simulate(t, 500) }
