package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// steadyTime is how long the clock must have run evenly until it is trusted to
// destroy, on SQLite.
const steadyTime = 24 * time.Hour

// clock judges this machine's wall clock.
//
// On PostgreSQL it is compared with the database's, which decides everything.
//
// On SQLite there is no other clock than the monotonic one, which tells how much
// time has passed since the wall clock was last trusted: trusted is the sum. A
// jump makes the two differ. Until the wall clock has run evenly for a day, the later
// of the two decides what is refused, and the earlier what is destroyed.
type clock struct {
	shift atomic.Int64 // added to the wall clock: tests set it

	mu sync.Mutex

	// On PostgreSQL: the last comparison. On SQLite: the last reading.
	wall   time.Time     // without a monotonic reading
	mono   time.Time     // with one
	offset time.Duration // PostgreSQL: wall minus the database's clock; the least it can be

	trusted time.Time // SQLite: what the wall clock should have shown at mono
	until   time.Time // SQLite: when the wall clock is trusted again, on the monotonic clock; zero if it is
}

// now returns the wall clock, without and with a monotonic reading.
func (c *clock) now() (wall, mono time.Time) {
	mono = time.Now()
	return mono.Add(time.Duration(c.shift.Load())).Round(0), mono
}

// begin starts the comparison of a clock that agrees with nothing yet.
func (c *clock) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.now()
	c.trusted = c.wall
}

// distrust begins a day in which the wall clock is not trusted. What it should show
// is not known better than as at least a time in the past.
func (c *clock) distrust(trusted time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.now()
	c.trusted, c.until = trusted, c.mono.Add(steadyTime)
}

// read returns the times that decide, on SQLite, what is refused and what is
// destroyed. They are the same unless the clock has jumped.
func (c *clock) read() (refusing, destroying time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.now()
	passed := mono.Sub(c.mono)
	drift := wall.Sub(c.wall) - passed
	c.wall, c.mono, c.trusted = wall, mono, c.trusted.Add(passed)
	if drift.Abs() > registry.MaxClockSkew {
		c.until = mono.Add(steadyTime)
	}
	if c.until.IsZero() || !mono.Before(c.until) || wall.Sub(c.trusted).Abs() <= registry.MaxClockSkew {
		c.trusted, c.until = wall, time.Time{}
		return wall, wall
	}
	if wall.Before(c.trusted) {
		return c.trusted, wall
	}
	return wall, c.trusted
}

// jumped returns by how much the wall clock is ahead of what it should show, and 0
// if it is trusted: on SQLite.
func (c *clock) jumped() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() {
		return 0
	}
	return c.wall.Sub(c.trusted)
}

// compare takes a reading of the database's clock that was made between two of the
// wall clock. A reading that took long says little, and is taken only if it shows a
// difference.
func (c *clock) compare(before, after, database time.Time) {
	offset := time.Duration(0)
	switch {
	case before.After(database):
		offset = before.Sub(database)
	case after.Before(database):
		offset = after.Sub(database)
	case after.Sub(before) > registry.MaxClockSkew:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.now()
	c.offset = offset
}

// off returns by how much the wall clock is ahead of the database's, which includes
// a jump since the last comparison.
func (c *clock) off() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mono.IsZero() {
		return 0
	}
	wall, mono := c.now()
	return c.offset + wall.Sub(c.wall) - mono.Sub(c.mono)
}

// skewed returns an error if the clock is off the database's.
func (c *clock) skewed() error {
	off, way := c.off(), "ahead"
	if off < 0 {
		off, way = -off, "behind"
	}
	if off <= registry.MaxClockSkew {
		return nil
	}
	return fmt.Errorf("%w: it is %v %s: set it right, and let NTP keep it so", registry.ErrClockSkew, off.Round(time.Second), way)
}

// readClock compares the clock with the database's.
func (s *Store) readClock(ctx context.Context, p *pool) (database time.Time, err error) {
	before, _ := s.clock.now()
	var us int64
	if err := s.row(ctx, p, "SELECT NOW_US", nil, &us); err != nil {
		return time.Time{}, err
	}
	after, _ := s.clock.now()
	database = time.UnixMicro(us)
	s.clock.compare(before, after, database)
	return database, nil
}

// mayWrite refuses a write that is more than taking access away while this
// machine's clock is off the database's. A clock that was off is compared anew.
func (s *Store) mayWrite(ctx context.Context, p *pool) error {
	if s.sqlite || s.clock.skewed() == nil {
		return nil
	}
	if _, err := s.readClock(ctx, p); err != nil {
		return err
	}
	return s.clock.skewed()
}

// timeOf writes the clock into a statement for SQLite, whose own is the wall clock.
func (c *clock) timeOf(query string) string {
	if !strings.Contains(query, "NOW_") && !strings.Contains(query, "GONE_") {
		return query
	}
	refusing, destroying := c.read()
	return strings.NewReplacer(
		"NOW_MS", strconv.FormatInt(refusing.UnixMilli(), 10),
		"NOW_US", strconv.FormatInt(refusing.UnixMicro(), 10),
		"GONE_MS", strconv.FormatInt(destroying.UnixMilli(), 10),
	).Replace(query)
}
