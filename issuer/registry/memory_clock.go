package registry

import "time"

// memoryClock compares the wall clock with the monotonic clock. After a jump, and until
// the two have run evenly for a day, expired entries are refused but not dropped.
type memoryClock struct {
	wall, mono time.Time     // the last reading, without and with a monotonic clock
	jumped     time.Time     // when the two last differed; zero if they never did
	shift      time.Duration // added to the wall clock: tests set it
}

const steadyTime = 24 * time.Hour

// read returns the wall clock, and whether it is trusted to drop something.
func (c *memoryClock) read() (now time.Time, steady bool) {
	mono := time.Now()
	wall := mono.Round(0).Add(c.shift)
	if !c.mono.IsZero() && (wall.Sub(c.wall)-mono.Sub(c.mono)).Abs() > MaxClockSkew {
		c.jumped = mono
	}
	c.wall, c.mono = wall, mono
	return wall, c.jumped.IsZero() || mono.Sub(c.jumped) >= steadyTime
}
