package jwks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// condition is the condition of a Remote after a fetch.
type condition int

const (
	untried   condition = iota
	current             // the latest fetch succeeded
	failing             // it failed, and the held set is within its lifetime
	stale               // it failed, and the held set has expired but is still used
	exhausted           // it failed, and no set can be used
)

// turned is what a fetch changed.
type turned struct {
	was, is condition
	skipped []jose.Skipped // if they are others than before
}

// report reports a fetch to the observer, or without one a change to the log.
func (r *Remote) report(ctx context.Context, f *flight, held, next *heldSet, c turned, err error) {
	e := Event{Op: event.OpFetch, URL: r.at, Err: err}
	switch c.is {
	case current:
		e.URL = next.url
	case exhausted:
		e.Reason = event.KeysUnavailable
	default:
		e.Reason, e.URL = event.FetchFailed, held.url
	}
	changed := c.was != c.is && (c.was != untried || c.is != current)
	if r.observe != nil || changed {
		e.Duration = time.Since(f.began)
	}
	switch background := event.Background(r.observe, r.quiet); {
	case background == nil:
		return
	case r.observe != nil || changed:
		background(ctx, e)
		fallthrough
	default:
		if len(c.skipped) > 0 {
			background(ctx, Event{Op: event.OpFetch, Reason: event.KeySkipped, URL: e.URL, Err: errors.New("jwks: " + describe(c.skipped))})
		}
	}
}

// turn records the condition and the skipped entries. The caller holds the lock, and has
// not yet woken the calls that wait: their errors, and Status after them, name the
// entries.
func (r *Remote) turn(held, next *heldSet, err error) turned {
	c, now := turned{was: r.condition, is: current}, time.Now()
	switch {
	case err == nil:
		c.skipped = next.set.Skipped()
	case held == nil || reached(now, held.staleUntil):
		c.is = exhausted
	case reached(now, held.expiresAt):
		c.is = stale
	default:
		c.is = failing
	}
	if unusable, ok := errors.AsType[*unusableError](err); ok {
		c.skipped = unusable.skipped
	}
	r.condition = c.is
	if err != nil && c.skipped == nil { // no set was read
		return c
	}
	same := slices.EqualFunc(c.skipped, r.skipped, func(a, b jose.Skipped) bool {
		return a.KeyID == b.KeyID && a.Err.Error() == b.Err.Error()
	})
	r.skipped = c.skipped
	if same || err != nil { // the error names them
		c.skipped = nil
	}
	return c
}

// unusableError is the error of a key set without a usable key. It is more likely
// that something else answered for the issuer than that the issuer removed all its
// keys.
type unusableError struct{ skipped []jose.Skipped }

func (e *unusableError) Error() string {
	if len(e.skipped) == 0 {
		return "it is empty"
	}
	return "it has no usable key: " + describe(e.skipped)
}

// describe names the first skipped entries, and why they were skipped.
func describe(skipped []jose.Skipped) string {
	const most = 3
	var b strings.Builder
	for i, s := range skipped[:min(len(skipped), most)] {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "key %.60q is skipped: %.200s", s.KeyID, s.Err)
	}
	if len(skipped) > most {
		fmt.Fprintf(&b, "; and %d more", len(skipped)-most)
	}
	return b.String()
}
