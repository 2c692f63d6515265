//go:build rehearsal

package sqlstore_test

import "testing"

func TestAssertionRaceLong(t *testing.T) { newReplicas(t, postgres(t)).race(t, 1000) }
