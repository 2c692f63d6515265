package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// clock checks this machine's wall clock, and on PostgreSQL the database's.
//
// On PostgreSQL the database's clock decides. It can be wrong for a moment too, so it is
// compared with this machine's clock and with the monotonic one. A row is deleted when it
// has expired by all three, and is kept until the latest of them.
//
// On SQLite there is no other clock to compare with than the monotonic one. Until a wall
// clock that has jumped has run evenly for a day, the later of what it shows and what it
// should show decides what is refused, and the earlier decides what is deleted.
type clock struct {
	shift atomic.Int64 // added to the wall clock: tests set it

	mu    sync.Mutex
	judge judge // of the clock that decides: the database's, or on SQLite the wall clock

	// The last comparison with the database's clock, on PostgreSQL.
	wall   time.Time     // without a monotonic reading
	mono   time.Time     // with one
	offset time.Duration // wall minus the database's clock; the least it can be
}

// now returns the wall clock, without and with a monotonic reading.
func (c *clock) now() (wall, mono time.Time) {
	mono = time.Now()
	return mono.Add(time.Duration(c.shift.Load())).Round(0), mono
}

// distrust begins a day in which the deciding clock is not trusted. It should show at
// least the given time.
func (c *clock) distrust(trusted time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, mono := c.now()
	c.judge.distrust(trusted, mono)
}

// read returns the times that decide, on SQLite, what is refused and what is
// deleted. They are equal unless the clock has jumped.
func (c *clock) read() (refusing, destroying time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.now()
	c.judge.see(wall, mono)
	if wall.Before(c.judge.trusted) {
		return c.judge.trusted, wall
	}
	return wall, c.judge.trusted
}

// bounds returns what the database's clock should show at least and at most, by the
// monotonic clock and by this machine's: on PostgreSQL.
func (c *clock) bounds() (least, most time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.now()
	trusted := c.judge.now(mono)
	if wall.Before(trusted) {
		return wall, trusted
	}
	return trusted, wall
}

// jumped returns by how much the deciding clock is ahead of what it should show, and 0 if
// it is trusted.
func (c *clock) jumped() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.judge.until.IsZero() {
		return 0
	}
	return c.judge.shown.Sub(c.judge.trusted)
}

// moment is one reading of this machine's clocks.
type moment struct{ wall, mono time.Time }

func (c *clock) moment() moment {
	wall, mono := c.now()
	return moment{wall, mono}
}

// compare takes a reading of the database's clock that was made between two readings of
// the wall clock. A slow reading is not exact, so it counts only if it shows a
// difference.
func (c *clock) compare(before, after moment, database time.Time) {
	offset := time.Duration(0)
	switch {
	case before.wall.After(database):
		offset = before.wall.Sub(database)
	case after.wall.Before(database):
		offset = after.wall.Sub(database)
	case after.mono.Sub(before.mono) > registry.MaxClockSkew:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.now()
	c.offset = offset
	c.judge.seeBetween(database, before.mono, after.mono)
}

// off returns by how much the wall clock is ahead of the database's, including a jump
// since the last comparison.
func (c *clock) off() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mono.IsZero() {
		return 0
	}
	wall, mono := c.now()
	return c.offset + wall.Sub(c.wall) - mono.Sub(c.mono)
}

// skewed returns an error if the clock differs too much from the database's.
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
	before := s.clock.moment()
	var us int64
	if err := s.row(ctx, p, "SELECT NOW_US", nil, &us); err != nil {
		return time.Time{}, err
	}
	database = time.UnixMicro(us)
	s.clock.compare(before, s.clock.moment(), database)
	return database, nil
}

// mayWrite returns an error while this machine's clock differs too much from the
// database's, for writes that do more than take access away. It first compares the
// clocks again.
func (s *Store) mayWrite(ctx context.Context, p *pool) error {
	if s.sqlite || s.clock.skewed() == nil {
		return nil
	}
	if _, err := s.readClock(ctx, p); err != nil {
		return err
	}
	return s.clock.skewed()
}

// mayDestroy reports whether what has expired may be deleted now: not while the
// database's clock and this machine's differ.
func (s *Store) mayDestroy(ctx context.Context, p *pool) bool {
	if s.sqlite {
		return true
	}
	_, err := s.readClock(ctx, p)
	return err == nil && s.clock.skewed() == nil
}

// timeOf writes the clock into a statement for SQLite, whose own is the wall clock.
func (c *clock) timeOf(query string) string {
	if !strings.Contains(query, "_MS") && !strings.Contains(query, "NOW_US") {
		return query
	}
	refusing, destroying := c.read()
	return strings.NewReplacer(
		"NOW_MS", strconv.FormatInt(refusing.UnixMilli(), 10),
		"KEPT_MS", strconv.FormatInt(refusing.UnixMilli(), 10),
		"NOW_US", strconv.FormatInt(refusing.UnixMicro(), 10),
		"GONE_MS", strconv.FormatInt(destroying.UnixMilli(), 10),
	).Replace(query)
}

// boundOf adds the bounds of the clock to the arguments of a statement for PostgreSQL.
func (c *clock) boundOf(query string, args []any) (string, []any) {
	if !strings.Contains(query, "LEAST_BOUND") && !strings.Contains(query, "MOST_BOUND") {
		return query, args
	}
	least, most := c.bounds()
	args = slices.Clip(args)
	for name, bound := range map[string]time.Time{"LEAST_BOUND": least, "MOST_BOUND": most} {
		if strings.Contains(query, name) {
			args = append(args, bound.UnixMilli())
			query = strings.ReplaceAll(query, name, fmt.Sprintf("CAST($%d AS BIGINT)", len(args)))
		}
	}
	return query, args
}
