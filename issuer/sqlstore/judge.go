package sqlstore

import (
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// steadyTime is how long a clock that has jumped must have run evenly until it is
// trusted to destroy.
const steadyTime = 24 * time.Hour

// judge compares a clock with the monotonic one, which tells how much time has passed
// since the clock was last trusted: trusted is the sum. A jump makes the two differ,
// until the clock has run evenly for a day or agrees with the sum again. The zero
// judge trusts the first reading.
type judge struct {
	shown   time.Time // the last reading
	at      time.Time // when, on the monotonic clock
	trusted time.Time // what the clock should have shown at that moment
	until   time.Time // when the clock is trusted again, on the monotonic clock; zero if it is
}

// see takes a reading.
func (j *judge) see(shown, mono time.Time) {
	if j.at.IsZero() {
		j.shown, j.at, j.trusted = shown, mono, shown
		return
	}
	passed := mono.Sub(j.at)
	drift := shown.Sub(j.shown) - passed
	j.shown, j.at, j.trusted = shown, mono, j.trusted.Add(passed)
	if drift.Abs() > registry.MaxClockSkew {
		j.until = mono.Add(steadyTime)
	}
	if j.until.IsZero() || !mono.Before(j.until) || shown.Sub(j.trusted).Abs() <= registry.MaxClockSkew {
		j.trusted, j.until = shown, time.Time{}
	}
}

// seeBetween takes a reading that was made between two moments: at the one that
// explains it best.
func (j *judge) seeBetween(shown, from, to time.Time) {
	mono := from
	if !j.at.IsZero() {
		mono = j.at.Add(min(max(shown.Sub(j.shown), from.Sub(j.at)), to.Sub(j.at)))
	}
	j.see(shown, mono)
}

// distrust begins a day in which the clock is not trusted. What it should show is not
// known better than as at least a time in the past.
func (j *judge) distrust(trusted, mono time.Time) {
	j.at, j.trusted, j.until = mono, trusted, mono.Add(steadyTime)
}

// now is what the clock should show.
func (j *judge) now(mono time.Time) time.Time { return j.trusted.Add(mono.Sub(j.at)) }
