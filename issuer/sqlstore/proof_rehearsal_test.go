//go:build rehearsal

package sqlstore_test

import "testing"

func TestProofRaceLong(t *testing.T) { newBindingReplicas(t, postgres(t)).race(t, 1000) }
