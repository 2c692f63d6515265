//go:build rehearsal

package gateway

import "testing"

// TestReportOfAMillion replays a million requests, a third of them hostile, with a policy
// in shadow and then in force, and 200 000 with a Bearer in shadow too.
//
//	go test -tags rehearsal -run TestReportOfAMillion -v ./middleware/gateway
func TestReportOfAMillion(t *testing.T) {
	t.Run("a policy in shadow", func(t *testing.T) { rehearse(t, 1_000_000, true, false) })
	t.Run("a Bearer in shadow", func(t *testing.T) { rehearse(t, 200_000, false, true) })
}
