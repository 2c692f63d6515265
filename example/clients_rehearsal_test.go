//go:build rehearsal

package main

import "testing"

// TestApplyKilledOften kills apply 100 times on each storage.
//
//	go test -tags rehearsal -run 'KilledOften' -v ./example
func TestApplyKilledOften(t *testing.T) {
	t.Parallel()
	testKilled(t, "apply", 100)
}

// TestImportKilledOften kills import 30 times on each storage.
func TestImportKilledOften(t *testing.T) {
	t.Parallel()
	testKilled(t, "import", 30)
}
