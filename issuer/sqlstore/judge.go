package sqlstore

import (
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// steadyTime is how long a clock that has jumped must have run evenly until it is
// trusted for deletions.
const steadyTime = 24 * time.Hour

// judge compares a clock with the monotonic clock. trusted is the time that the clock
// last showed when it was trusted, plus the time that has passed since then on the
// monotonic clock. After a jump the clock differs from trusted, until it has run evenly
// for a day or agrees with trusted again. The zero judge trusts the first reading.
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

// seeBetween takes a reading that was made between two moments. It assumes the moment that
// makes the smallest jump.
func (j *judge) seeBetween(shown, from, to time.Time) {
	mono := from
	if !j.at.IsZero() {
		mono = j.at.Add(min(max(shown.Sub(j.shown), from.Sub(j.at)), to.Sub(j.at)))
	}
	j.see(shown, mono)
}

// distrust begins a day in which the clock is not trusted. It should show at least the
// time trusted; more is not known.
func (j *judge) distrust(trusted, mono time.Time) {
	j.at, j.trusted, j.until = mono, trusted, mono.Add(steadyTime)
}

// now returns what the clock should show.
func (j *judge) now(mono time.Time) time.Time { return j.trusted.Add(mono.Sub(j.at)) }
