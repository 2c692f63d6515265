package issuer

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// clock compares this machine's wall clock with the clock of the store, and with this
// machine's monotonic clock.
type clock struct {
	report func(event.Reason, error) // a change of state

	state  condition
	offset atomic.Int64 // how far this machine's clock is ahead of the store's, in ns; 0 if the store has none
	last   time.Time    // of the last call of jumped; used by the running poll alone
}

var errClockOff = errors.New("issuer: this machine's clock differs from the store's by more than is allowed")

// jumped reports whether the wall clock has moved by more than MaxClockSkew against the
// monotonic one since the last call: the clock was set, or the machine was asleep.
func (c *clock) jumped() bool {
	now, last := time.Now(), c.last
	c.last = now
	if last.IsZero() {
		return false
	}
	jump := now.Round(0).Sub(last.Round(0)) - now.Sub(last)
	if jump.Abs() <= registry.MaxClockSkew {
		return false
	}
	c.report(event.ClockOff, fmt.Errorf("issuer: the wall clock has jumped by %v, or this machine was asleep", jump.Round(time.Second)))
	return true
}

// compare notes the time by the store's clock, which was read between begun and ended
// by this machine's. It reports whether the clocks agree again after they did not.
func (c *clock) compare(store, begun, ended time.Time) (agrees bool) {
	if store.IsZero() {
		return false
	}
	begun, ended = begun.Round(0), ended.Round(0)
	var offset time.Duration
	switch {
	case store.Before(begun):
		offset = begun.Sub(store)
	case store.After(ended):
		offset = ended.Sub(store)
	}
	c.offset.Store(int64(offset))
	if offset.Abs() > registry.MaxClockSkew {
		err := offBy(offset)
		if c.state.set(event.ClockOff, err) {
			c.report(event.ClockOff, err)
		}
		return false
	}
	if agrees = c.state.set("", nil); agrees {
		c.report("", nil)
	}
	return agrees
}

// offBy returns the error of a clock that is ahead by the offset, or behind if the
// offset is negative.
func offBy(offset time.Duration) error {
	direction := "ahead of"
	if offset < 0 {
		direction = "behind"
	}
	return fmt.Errorf("%w: it is %v %s the store's; correct the clock that is wrong", errClockOff, offset.Abs().Round(time.Millisecond), direction)
}

// check returns an error while the clocks do not agree.
func (c *clock) check() error {
	if time.Duration(c.offset.Load()).Abs() <= registry.MaxClockSkew {
		return nil
	}
	return offBy(time.Duration(c.offset.Load()))
}

// store returns the time by the store's clock, or by this machine's if the store has
// none.
func (c *clock) store() time.Time { return time.Now().Add(-time.Duration(c.offset.Load())) }

// ahead returns how far this machine's clock is ahead, 0 if it is not.
func (c *clock) ahead() time.Duration { return max(0, time.Duration(c.offset.Load())) }
