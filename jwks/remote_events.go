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

// report reports a fetch to the observer, or without one a change to the log.
func (r *Remote) report(ctx context.Context, f *flight, held, next *heldSet, err error) {
	e := Event{Op: event.OpFetch, URL: r.at, Err: err}
	now, is := time.Now(), current
	switch {
	case err == nil:
		e.URL = next.url
	case held == nil || reached(now, held.staleUntil):
		e.Reason, is = event.KeysUnavailable, exhausted
	default:
		e.Reason, e.URL, is = event.FetchFailed, held.url, failing
		if reached(now, held.expiresAt) {
			is = stale
		}
	}
	was, skipped := r.turn(is, next, err)
	changed := was != is && (was != untried || is != current)
	if r.observe != nil || changed {
		e.Duration = now.Sub(f.began)
	}
	switch background := event.Background(r.observe, r.quiet); {
	case background == nil:
		return
	case r.observe != nil || changed:
		background(ctx, e)
		fallthrough
	default:
		if len(skipped) > 0 {
			background(ctx, Event{Op: event.OpFetch, Reason: event.KeySkipped, URL: e.URL, Err: errors.New("jwks: " + describe(skipped))})
		}
	}
}

// turn records the condition and the skipped entries. It returns the last condition,
// and the skipped entries if they are others than before.
func (r *Remote) turn(is condition, next *heldSet, err error) (was condition, skipped []jose.Skipped) {
	if err == nil {
		skipped = next.set.Skipped()
	} else if unusable, ok := errors.AsType[*unusableError](err); ok {
		skipped = unusable.skipped
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was, r.condition = r.condition, is
	same := slices.EqualFunc(skipped, r.skipped, func(a, b jose.Skipped) bool {
		return a.KeyID == b.KeyID && a.Err.Error() == b.Err.Error()
	})
	switch {
	case err != nil && skipped == nil: // no set was read
		return was, nil
	case same || err != nil: // the error names them
		r.skipped = skipped
		return was, nil
	}
	r.skipped = skipped
	return was, skipped
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
