package jwks

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// This file judges this replica's clock. A wall clock can be wrong, so it does not
// decide what cannot be undone, such as dropping a key.
//
// With a ClockStore, a replica plans and writes only while its clock agrees with the
// store's. Both may be the clock of one host, so that is not enough. The timetable
// therefore follows the monotonic clock. When the wall clock jumps against it, the
// jump counts as elapsed time for refusing old snapshots, and as no time for the
// timetable, until the clock has run steadily for steadyFor.
//
// A start more than steadyFor after the last write is treated as a jump too: either
// the machine was off, or the clock is wrong.

// ClockStore is a [KeyStore] with a clock that all replicas share, such as a
// database's. A replica whose own clock differs by more than Policy.Skew plans
// nothing, writes nothing, and reports it.
type ClockStore interface {
	KeyStore

	// Now returns the time of the store's clock. The error is [errors.ErrUnsupported]
	// if the store has no clock but this machine's.
	Now(ctx context.Context) (time.Time, error)
}

// steadyFor is how long a clock that has jumped must run without another jump before
// the timetable follows it.
const steadyFor = 24 * time.Hour

// clock is this replica's wall clock and its trusted time: the time that the
// timetable follows.
type clock struct {
	skew atomic.Int64 // added to the wall clock in tests
	late atomic.Int64 // by how much the wall clock is behind the trusted time

	// anchor is a reading of the monotonic clock, and the trusted time at that
	// moment.
	anchor atomic.Pointer[anchor]

	// The fields below are used by one update at a time.
	since   time.Time     // when the wall clock began to run steadily, by the monotonic clock
	jumped  bool          // the wall clock has jumped and is not trusted yet
	by      time.Duration // by how much it jumped
	started bool          // the start counts as the jump: the trusted time may be too early
	from    time.Time     // the trusted time before it leapt to the wall clock; zero once the timetable has followed
}

type anchor struct{ at, base time.Time }

// wall returns the wall clock's time. It runs while a machine sleeps.
func (c *clock) wall() time.Time {
	return time.Now().Round(0).UTC().Add(time.Duration(c.skew.Load()))
}

// latest returns the later of the wall clock and the trusted time. Nothing may have
// been written after it. The wall clock can jump after it was judged, so this compares
// the clocks again.
func (c *clock) latest() time.Time { return later(c.wall(), c.steady()) }

// steady returns the trusted time: that of the last update plus what has passed since
// on the monotonic clock. It decides what cannot be undone, such as dropping a key,
// and which key signs.
func (c *clock) steady() time.Time {
	a := c.anchor.Load()
	if a == nil {
		return c.wall()
	}
	return a.base.Add(time.Since(a.at))
}

func (c *clock) set(ahead time.Duration) {
	c.late.Store(int64(max(-ahead, 0)))
}

// restart makes base the trusted time of this moment.
func (c *clock) restart(base time.Time) { c.anchor.Store(&anchor{time.Now(), base}) }

// jump stops trusting the wall clock, which is off by that much.
func (c *clock) jump(off time.Duration) {
	c.since, c.jumped, c.by = time.Now(), true, off
	c.set(off)
}

// believe makes a moment the trusted time, and trusts the wall clock again.
func (c *clock) believe(moment time.Time) {
	if c.jumped {
		c.from = c.steady()
	}
	c.restart(moment)
	c.jumped, c.started, c.by = false, false, 0
	c.set(0)
}

// leapt returns the trusted time before it leapt to the wall clock, if the timetable
// has not followed yet.
func (c *clock) leapt() (from time.Time, ok bool) { return c.from, !c.from.IsZero() }

// planned notes that the timetable has followed a leap.
func (c *clock) planned() { c.from = time.Time{} }

// judgeSteady compares the wall clock with the monotonic clock.
func (c *clock) judgeSteady(tolerance time.Duration) error {
	return c.follow(c.wall(), tolerance)
}

// follow compares a moment, which is now by a clock that may jump, with the trusted
// time. It follows small differences, and a jump once the clock has run steadily for
// steadyFor.
func (c *clock) follow(moment time.Time, tolerance time.Duration) error {
	if c.anchor.Load() == nil {
		c.since = time.Now()
		c.restart(moment)
	}
	off := moment.Sub(c.steady())
	switch {
	case off.Abs() <= tolerance, c.started && off >= 0 && off <= steadyFor:
		c.believe(moment)
		return nil
	case !c.jumped || (off-c.by).Abs() > tolerance:
		c.jump(off)
	case time.Since(c.since) >= steadyFor:
		c.believe(moment)
		return nil
	}
	c.set(off)
	if c.started {
		return fmt.Errorf("jwks: this machine's clock is %v later than the last write of the keys: if it is wrong, set it; if it is right, it is trusted after %v of steady running; until then keys rotate by the time elapsed since that write", off.Round(time.Second), steadyFor)
	}
	return fmt.Errorf("jwks: this machine's clock has jumped by %v: it is trusted again after %v of steady running; until then keys rotate by the time elapsed", off.Round(time.Second), steadyFor)
}

// doubtStart makes the time of the last write the trusted time, if the wall clock is
// later by more than steadyFor.
func (c *clock) doubtStart(written time.Time) (doubted bool) {
	gap := c.wall().Sub(written)
	if gap <= steadyFor {
		return false
	}
	c.restart(written)
	c.jump(gap)
	c.started = true
	return true
}

// judgeBy compares the wall clock with the store's. moment is the store's time, read
// between the two wall times before and after.
func (c *clock) judgeBy(before, moment, after time.Time, tolerance time.Duration) (held bool, off error) {
	var ahead time.Duration
	switch {
	case before.After(moment.Add(tolerance)):
		ahead = before.Sub(moment)
	case after.Before(moment.Add(-tolerance)):
		ahead = after.Sub(moment)
	}
	// Both clocks may be that of one host, which jumps.
	moved := c.follow(after.Add(-ahead), max(tolerance, time.Second))
	if ahead == 0 {
		return false, moved
	}
	c.set(after.Sub(c.steady()))
	return true, fmt.Errorf("jwks: this machine's clock differs from the key store's by %v, which is more than Policy.Skew: set it; until then this replica plans no keys and writes nothing", ahead.Round(time.Millisecond))
}

// judge judges this replica's clock. held is true while the replica must not plan.
func (r *Keyring) judge(ctx context.Context) (held bool, off error) {
	if store, ok := r.store.(ClockStore); ok {
		before := r.clock.wall()
		moment, err := store.Now(ctx)
		if err == nil {
			r.compared = true
			return r.clock.judgeBy(before, moment, r.clock.wall(), r.policy.Skew)
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return true, fmt.Errorf("jwks: the clock of the key store cannot be read: %w", err)
		}
	}
	return false, r.clock.judgeSteady(r.tolerance())
}

func (r *Keyring) tolerance() time.Duration { return max(r.policy.Skew, time.Second) }

// doubt judges the clock at the start by the time of the last write.
func (r *Keyring) doubt(s *state) error {
	if r.compared || len(s.Keys) == 0 || !r.clock.doubtStart(s.Written) {
		return nil
	}
	return r.clock.judgeSteady(r.tolerance())
}

// sure reports whether this replica's clock is right, as far as it can know.
func (r *Keyring) sure() bool {
	return !r.clock.jumped && (r.compared || time.Since(r.clock.since) >= steadyFor)
}

// harmless is the error of a clock that moved forward by a time in which no key was
// to be dropped, such as after a machine slept. Ready leaves it out.
type harmless struct{ error }

func (h harmless) Unwrap() error { return h.error }

// weigh marks an error of the clock as harmless if it is.
func (r *Keyring) weigh(off error, s *state) error {
	if off == nil || r.held || r.clock.late.Load() > 0 || len(s.Keys) == 0 {
		return off
	}
	believed, wall := goneAt(s.times(), r.policy, r.agreed(s)), goneAt(s.times(), r.policy, later(s.Written, r.clock.wall()))
	if believed != wall {
		return off
	}
	return harmless{off}
}

// agreed returns the time on which the replicas that share a state agree: the later
// of the trusted time and the time of the last write. So a replica whose clock is
// behind does not go back to a key that the others have left.
func (r *Keyring) agreed(s *state) time.Time { return later(s.Written, r.clock.steady()) }

// elapsed returns the time since a reading by the wall clock or by the monotonic
// clock, whichever is longer. The monotonic clock does not move while a machine
// sleeps.
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
