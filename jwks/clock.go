package jwks

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// This file judges this replica's clock. A wall clock can be set wrong, so it is no
// authority for what cannot be undone, such as dropping a key.
//
// With a ClockStore the store's clock judges. Without one, time is what has passed
// on the monotonic clock: a jump of the wall clock against it counts as time passed
// for refusing, and as not passed for the timetable, until the clock has run
// steadily for steadyFor.

// ClockStore is a [KeyStore] with a clock that all replicas share, such as a
// database's. A replica whose own clock differs by more than Policy.Skew plans and
// writes nothing, and says so.
type ClockStore interface {
	KeyStore

	// Now returns the time by the store's clock. The error is
	// errors.ErrUnsupported if it has no clock but this machine's.
	Now(ctx context.Context) (time.Time, error)
}

// steadyFor is how long a clock that has jumped must run without another jump
// before the timetable believes it.
const steadyFor = 24 * time.Hour

// clock is this replica's wall clock, and what is thought of it.
type clock struct {
	skew  atomic.Int64 // added to the wall clock, by tests
	ahead atomic.Int64 // by how much the wall clock is ahead of the time that is believed
	late  atomic.Int64 // by how much it is behind

	// The rest is used by one update at a time.
	anchor time.Time     // a moment of the monotonic clock
	base   time.Time     // the time that was believed then
	jumped time.Time     // when the wall clock last jumped, zero when it did not
	by     time.Duration // how far it was from the believed time after that jump
}

// wall is this replica's wall clock, which goes on while a machine sleeps.
func (c *clock) wall() time.Time {
	return time.Now().Round(0).UTC().Add(time.Duration(c.skew.Load()))
}

// believed is the time for the timetable.
func (c *clock) believed() time.Time {
	return c.wall().Add(-time.Duration(c.ahead.Load()))
}

// latest is the time for refusing: nothing that is later can be right.
func (c *clock) latest() time.Time {
	return c.wall().Add(time.Duration(c.late.Load()))
}

func (c *clock) set(ahead time.Duration) {
	c.ahead.Store(int64(max(ahead, 0)))
	c.late.Store(int64(max(-ahead, 0)))
}

// restart makes base the time that is believed now.
func (c *clock) restart(base time.Time) { c.anchor, c.base = time.Now(), base }

// judgeSteady compares the wall clock with the monotonic one.
func (c *clock) judgeSteady(tolerance time.Duration) error {
	wall := c.wall()
	if c.anchor.IsZero() {
		c.restart(wall)
	}
	passed := time.Since(c.anchor)
	off := wall.Sub(c.base.Add(passed))
	if off.Abs() <= tolerance {
		c.restart(wall)
		c.jumped, c.by = time.Time{}, 0
		c.set(0)
		return nil
	}
	if c.jumped.IsZero() || (off-c.by).Abs() > tolerance {
		c.jumped, c.by = time.Now(), off
	}
	if time.Since(c.jumped) >= steadyFor {
		c.restart(wall)
		c.jumped, c.by = time.Time{}, 0
		c.set(0)
		return nil
	}
	c.set(off)
	return fmt.Errorf("jwks: this machine's clock has moved by %v against the time that has passed: until it has run steadily for %v, keys rotate by the time that has passed", off.Round(time.Second), steadyFor)
}

// judgeBy compares the wall clock with the store's. moment is the time by the
// store's clock, read between the two wall times.
func (c *clock) judgeBy(before, moment, after time.Time, tolerance time.Duration) error {
	var ahead time.Duration
	switch {
	case before.After(moment.Add(tolerance)):
		ahead = before.Sub(moment)
	case after.Before(moment.Add(-tolerance)):
		ahead = after.Sub(moment)
	}
	c.set(ahead)
	c.restart(c.believed())
	c.jumped, c.by = time.Time{}, 0
	if ahead == 0 {
		return nil
	}
	return fmt.Errorf("jwks: this machine's clock differs from the key store's by %v, which is more than Policy.Skew: set it right; until then this replica plans no keys and writes none", ahead.Round(time.Millisecond))
}

// judge judges the clock of this replica. held is true while it must not plan.
func (r *Keyring) judge(ctx context.Context) (off error, held bool) {
	if store, ok := r.store.(ClockStore); ok {
		before := r.clock.wall()
		moment, err := store.Now(ctx)
		if err == nil {
			off = r.clock.judgeBy(before, moment, r.clock.wall(), r.policy.Skew)
			return off, off != nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("jwks: the clock of the key store cannot be read: %w", err), true
		}
	}
	return r.clock.judgeSteady(max(r.policy.Skew, time.Second)), false
}

// agreed is the time on which the replicas that share a state agree: the later of
// this replica's clock and that of the writer. A replica whose clock is behind
// does not go back to a key that the others have left.
func (r *Keyring) agreed(s *state) time.Time { return later(s.Written, r.clock.believed()) }

// elapsed is the greater of the times that passed on the wall clock and on the
// monotonic one, which stands still while a machine sleeps.
func (r *Keyring) elapsed(since reading) time.Duration {
	now := time.Now()
	wall := now.Round(0).Sub(since.at.Round(0)) + time.Duration(r.clock.skew.Load()) - since.skew
	return max(now.Sub(since.at), wall)
}

// reading is a moment on both clocks.
type reading struct {
	at   time.Time // with the monotonic clock
	skew time.Duration
}

func (c *clock) read() reading {
	return reading{time.Now(), time.Duration(c.skew.Load())}
}
