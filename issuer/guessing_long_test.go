//go:build rehearsal

package issuer_test

import (
	"testing"
	"time"
)

// Ten minutes of guesses lock nobody out either.
func TestGuessingForTenMinutes(t *testing.T) {
	guessFor(t, 10*time.Minute)
}
