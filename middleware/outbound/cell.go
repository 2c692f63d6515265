package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// cell has the one token for what is asked for, and keeps it fresh. The family owns the
// cells that have a token or fetch one, so there is one for each want, and Close ends all.
type cell struct {
	family *family
	want   *want
	held   atomic.Pointer[held]

	// What follows is guarded by family.mu.
	owned   bool // it is in family.cells
	flight  *flight
	backoff backoff       // of this want alone
	timer   *time.Timer   // the next refresh, or the next try of it
	replays *rate.Limiter // fetches because an API refused the token
	trouble trouble       // as last reported
}

const (
	replayBurst = 5                // tokens that are replaced at once because an API refused them
	replayEvery = 30 * time.Second // and one more after each such time

	replacementBurst = 20              // the same for the tokens of a family that replaced refused ones
	replacementEvery = 3 * time.Second // and were refused too

	lastTry = time.Second // before the end of a token, while refreshes fail

	// A machine that was suspended is noticed after this time: timers and the monotonic
	// clock do not move meanwhile.
	longestNap = time.Minute
)

// token returns a token, and waits for it if none is held.
func (s *Source) token(ctx context.Context) (*held, error) {
	began := time.Now()
	for {
		c, h, f, next, err := s.step(ctx, began)
		switch {
		case h != nil:
			return h, nil
		case err != nil:
		case f == nil:
			err = c.sleep(ctx, next)
		default:
			if h, err = await(ctx, f); h != nil && f.cell == c {
				return h, nil
			}
		}
		if err != nil && errors.Is(err, ctx.Err()) {
			return nil, c.left(err)
		}
		if err != nil && !s.family.secretChanged(ctx) {
			return nil, err
		}
	}
}

// step takes a cell that the family owns, and what it says.
func (s *Source) step(ctx context.Context, began time.Time) (c *cell, h *held, f *flight, next time.Time, err error) {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	now := time.Now()
	if c, err = s.family.own(s.cell.Load(), now); err != nil {
		return c, nil, nil, time.Time{}, err
	}
	s.cell.Store(c)
	h, f, next, err = c.step(ctx, began, now)
	return c, h, f, next, err
}

// step returns a token, or the flight to wait for, or the time of the next try to wait
// for, or why there is nothing to wait for. It is called with the lock.
func (c *cell) step(ctx context.Context, began, now time.Time) (*held, *flight, time.Time, error) {
	h := c.held.Load()
	switch {
	case h.usable(now):
		if h.use.Swap(used) == overdue && c.flight == nil {
			c.plan(now)
		}
		return h, nil, time.Time{}, nil
	case ctx.Err() != nil:
		return nil, nil, time.Time{}, ctx.Err()
	case c.flight != nil:
		return nil, c.flight, time.Time{}, nil
	}
	b := c.blocked(now)
	switch {
	case b == nil:
		return nil, c.begin(now), time.Time{}, nil
	case b.probe != nil:
		return nil, b.probe, time.Time{}, nil
	case b.slow || b.next.Sub(began) > c.family.config.Timeout:
		return nil, nil, time.Time{}, b.err
	}
	return nil, nil, b.next, nil
}

// blocked returns the backoff that does not let a try begin now, or nil.
func (c *cell) blocked(now time.Time) *backoff {
	for _, b := range []*backoff{&c.backoff, &c.family.backoff} {
		if !b.ready(now) {
			return b
		}
	}
	return nil
}

// await waits for a flight. It returns nothing if the flight failed.
func await(ctx context.Context, f *flight) (*held, error) {
	select {
	case <-f.done:
		if f.held != nil {
			f.held.use.CompareAndSwap(unused, used)
		}
		return f.held, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sleep waits for the time of the next try.
func (c *cell) sleep(ctx context.Context, next time.Time) error {
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.family.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// left is the error of a call whose own context has ended. It is that context's error.
// Why there was no token is told as text only.
func (c *cell) left(err error) error {
	if failed := c.latestError(); failed != nil {
		return fmt.Errorf("outbound: waiting for a token: %w; the latest fetch failed: %v", err, failed) //nolint:errorlint // or it would be an ErrUnavailable too
	}
	return fmt.Errorf("outbound: waiting for a token: %w", err)
}

// latestError returns why the latest fetch failed, or nil.
func (c *cell) latestError() error {
	c.family.mu.Lock()
	defer c.family.mu.Unlock()
	return cmp.Or(c.backoff.err, c.family.backoff.err)
}

// plan begins the refresh of a held token if it is due, or sets the timer. It is called
// with the lock.
func (c *cell) plan(now time.Time) {
	h := c.held.Load()
	switch {
	case c.family.closed || c.flight != nil || h == nil:
		return
	case !h.usable(now):
		c.held.Store(nil) // calls would see its end by one clock only
		return
	}
	due := h.refresh
	if h.replaced.Load() {
		due = now
	}
	next := c.nextTry(now)
	due = latest(due, c.beforeTheEnd(h, next))
	switch {
	case now.Before(due):
		c.wake(min(due.Sub(now), longestNap))
	case h.use.CompareAndSwap(unused, overdue): // the next call begins the refresh
	case now.Before(next) && !c.family.budget.AllowN(now, 1):
		c.wake(min(next.Sub(now), longestNap))
	default:
		c.begin(now)
	}
}

// nextTry returns when the backoffs let a try begin. It is called with the lock.
func (c *cell) nextTry(now time.Time) time.Time {
	return latest(c.backoff.earliest(now), c.family.backoff.earliest(now))
}

// beforeTheEnd returns the time of the next try, brought forward into the last second of
// the token in hand if its jitter is all that puts it behind that. There is at most one
// such try, and none while a refusal or a Retry-After holds tries back. It is called with
// the lock.
func (c *cell) beforeTheEnd(h *held, next time.Time) time.Time {
	b := &c.family.backoff
	last := h.until.Add(-min(lastTry, h.until.Sub(h.obtained)/10))
	if next.Before(last) || b.probe != nil || !b.failedAt.Before(last) {
		return next
	}
	return latest(last, latest(b.hold, c.backoff.hold))
}

func (c *cell) wake(after time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(after, func() {
			c.family.mu.Lock()
			defer c.family.mu.Unlock()
			c.plan(time.Now())
		})
		return
	}
	c.timer.Reset(after)
}

// stop drops the token and its refresh. It is called with the lock.
func (c *cell) stop() {
	c.held.Store(nil)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// replace returns another token than the one that an API refused, or nil if it cannot be
// had. The refusal of one token causes at most one fetch, however many calls see it. The
// refused token stays in use until there is another: the API may be wrong.
func (c *cell) replace(ctx context.Context, refused *held, wait bool) *held {
	h, f := c.refuse(refused)
	if h == nil && f == nil && c.family.secretChanged(ctx) {
		h, f = c.refuse(refused)
	}
	for h == nil && f != nil && wait {
		got, err := await(ctx, f)
		if f.cell == c || err != nil { // the refusal itself is the answer if this call has to leave
			h = got
			break
		}
		h, f = c.refuse(refused)
	}
	if h == nil || h.text == refused.text { // a server that caches tokens gives the same one again
		return nil
	}
	return h
}

// refuse notes that an API refused a token. It returns the token that is held instead, or
// else the flight that fetches one, or the one try that has to end before.
func (c *cell) refuse(refused *held) (*held, *flight) {
	c.family.mu.Lock()
	defer c.family.mu.Unlock()
	refused.refused.Store(true)
	now := time.Now()
	c, err := c.family.own(c, now) // the cell may have been evicted while the request was under way
	if err != nil {
		return nil, nil
	}
	h := c.held.Load()
	if h != refused && h.usable(now) {
		h.use.CompareAndSwap(unused, used)
		return h, nil
	}
	if c.flight != nil {
		return nil, c.flight
	}
	if !refused.replaced.Load() {
		if !c.mayReplace(refused, now) {
			return nil, nil
		}
		refused.replaced.Store(true)
	}
	if h.usable(now) {
		c.plan(now)
	} else if c.blocked(now) == nil {
		c.begin(now)
	}
	return nil, cmp.Or(c.flight, c.family.backoff.probe)
}

// mayReplace bounds the fetches that refusals cause. A refused token that itself replaced
// a refused one counts against the family too: the API most likely refuses all tokens, and
// a Source may have many.
func (c *cell) mayReplace(refused *held, now time.Time) bool {
	return c.replays.AllowN(now, 1) && (!refused.replacement || c.family.replacements.AllowN(now, 1))
}
