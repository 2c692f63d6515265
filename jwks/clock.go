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
// With a ClockStore the store's clock judges whether a replica may plan and write. It
// may be the clock of this host, so it is no authority either. Time is what has passed
// on the monotonic clock: a jump of the wall clock against it counts as time passed
// for refusing, and as not passed for the timetable, until the clock has run
// steadily for steadyFor. So does a gap of more than steadyFor between the last write
// and a start: either the machine was off, or the clock is wrong.

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
	skew atomic.Int64 // added to the wall clock, by tests
	late atomic.Int64 // by how much the wall clock is behind the time that is believed

	// anchor is a moment of the monotonic clock, and the time that was believed
	// then.
	anchor atomic.Pointer[anchor]

	// The rest is used by one update at a time.
	since   time.Time     // from when on the wall clock has run steadily, on the monotonic clock
	jumped  bool          // and it is not believed yet
	by      time.Duration // by how much it was off then
	started bool          // the start was the jump: the time that is believed may be too early
	from    time.Time     // the time that was believed until the wall clock was; zero once the timetable knows
}

type anchor struct{ at, base time.Time }

// wall is this replica's wall clock, which goes on while a machine sleeps.
func (c *clock) wall() time.Time {
	return time.Now().Round(0).UTC().Add(time.Duration(c.skew.Load()))
}

// latest is the time for refusing: nothing that is later can be right.
func (c *clock) latest() time.Time {
	return c.wall().Add(time.Duration(c.late.Load()))
}

// steady is the time that is believed: that of the last update, and what has passed
// since. It is for what cannot be undone, such as dropping a key, and it says which key
// signs, whatever the wall clock says since the last update.
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

// restart makes base the time that is believed now.
func (c *clock) restart(base time.Time) { c.anchor.Store(&anchor{time.Now(), base}) }

// jump begins a time in which the wall clock, off by that much, is not believed.
func (c *clock) jump(off time.Duration) {
	c.since, c.jumped, c.by = time.Now(), true, off
	c.set(off)
}

// believe makes a moment the time.
func (c *clock) believe(moment time.Time) {
	if c.jumped {
		c.from = c.steady()
	}
	c.restart(moment)
	c.jumped, c.started, c.by = false, false, 0
	c.set(0)
}

// leapt returns the time that was believed until the wall clock was believed again,
// if the timetable has not been told yet.
func (c *clock) leapt() (from time.Time, ok bool) { return c.from, !c.from.IsZero() }

func (c *clock) planned() { c.from = time.Time{} }

// judgeSteady compares the wall clock with the monotonic one.
func (c *clock) judgeSteady(tolerance time.Duration) error {
	return c.follow(c.wall(), tolerance)
}

// follow compares a moment, which is now by a clock that may jump, with the monotonic
// clock.
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
		return fmt.Errorf("jwks: this machine's clock is %v later than the last write of the keys: if it is right, this ends by itself when it has run steadily for %v, and else when it is set right; until then keys rotate by the time that has passed", off.Round(time.Second), steadyFor)
	}
	return fmt.Errorf("jwks: this machine's clock has moved by %v against the time that has passed: until it has run steadily for %v, keys rotate by the time that has passed", off.Round(time.Second), steadyFor)
}

// doubtStart begins with the time of the last write, if the wall clock shows much
// more.
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

// judgeBy compares the wall clock with the store's. moment is the time by the
// store's clock, read between the two wall times.
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
	return true, fmt.Errorf("jwks: this machine's clock differs from the key store's by %v, which is more than Policy.Skew: set it right; until then this replica plans no keys and writes none", ahead.Round(time.Millisecond))
}

// judge judges the clock of this replica. held is true while it must not plan.
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

// doubt judges the clock at the start, by what was stored.
func (r *Keyring) doubt(s *state) error {
	if r.compared || len(s.Keys) == 0 || !r.clock.doubtStart(s.Written) {
		return nil
	}
	return r.clock.judgeSteady(r.tolerance())
}

// sure reports whether this replica's clock is the right one, as far as that can be
// known.
func (r *Keyring) sure() bool {
	return !r.clock.jumped && (r.compared || time.Since(r.clock.since) >= steadyFor)
}

// harmless is the error of a clock that moved forward by a time in which nothing was
// to be dropped, as when a machine slept. Ready does not tell it.
type harmless struct{ error }

func (h harmless) Unwrap() error { return h.error }

// weigh makes an error of the clock harmless if it is.
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

// agreed is the time on which the replicas that share a state agree: the later of
// this replica's clock and that of the writer. A replica whose clock is behind
// does not go back to a key that the others have left.
func (r *Keyring) agreed(s *state) time.Time { return later(s.Written, r.clock.steady()) }

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
