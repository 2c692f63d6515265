package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// flight is one fetch of a token. It belongs to no caller.
type flight struct {
	cell  *cell
	began time.Time
	done  chan struct{}
	held  *held // nil if it failed; set before done is closed
}

// begin starts a flight. It is called with the lock, when none is under way.
func (c *cell) begin(now time.Time) *flight {
	f := &flight{cell: c, began: now, done: make(chan struct{})}
	c.flight = f
	c.family.begun(f)
	c.family.fetches.Add(1)
	c.family.running.Go(func() { c.fly(f) })
	return f
}

// fly runs a flight, in its own goroutine. It lands whatever the app's code in it does, or
// calls would wait for it for ever.
func (c *cell) fly(f *flight) {
	ctx, cancel := c.family.context()
	defer cancel()
	var used uses
	var g *grant
	err := unavailable(errAborted)
	defer func() {
		caught(ctx, "the Transport of Config.HTTP", recover())
		c.conclude(ctx, f, g, err, used.warning())
	}()
	g, err = c.family.fetcher.fetch(ctx, c.want, &used)
}

// conclude lands a flight and reports it.
func (c *cell) conclude(ctx context.Context, f *flight, g *grant, err, warning error) {
	closed, changed, is := c.land(f, g, err, warning)
	switch {
	case closed:
	case err == nil:
		c.report(ctx, f, is, changed, warning)
	case warning == nil:
		c.report(ctx, f, is, changed, err)
	default:
		c.report(ctx, f, is, changed, fmt.Errorf("%w; %w", err, warning))
	}
}

// land stores the result, and wakes the calls that wait for it. A warning counts as the
// trouble of a fetch that succeeded.
func (c *cell) land(f *flight, g *grant, err, warning error) (closed, changed bool, is trouble) {
	c.family.mu.Lock()
	defer c.family.mu.Unlock()
	defer close(f.done)
	c.flight = nil
	if c.family.closed {
		return true, false, is
	}
	now := time.Now()
	c.family.backoff.ended(f, now)
	switch failed := classify(err); {
	case err == nil:
		c.family.succeeded(f, now)
		c.backoff = backoff{}
		f.held = c.hold(g)
		if before := c.held.Load(); before != nil && before.text == f.held.text {
			f.held.refused.Store(before.refused.Load()) // the server caches tokens
		}
		c.held.Store(f.held)
	case failed.own:
		c.family.backoff.passed(f.began) // the server answers
		c.backoff.fail(f.began, now, failed, c.family.budget, c.family.random)
	default:
		c.family.failed(f, now, failed)
	}
	if err != nil {
		c.family.failures.Add(1)
	}
	is = c.troubleOf(cmp.Or(err, warning), now)
	changed, c.trouble = c.trouble != is, is
	c.plan(now)
	return false, changed, is
}

func (c *cell) hold(g *grant) *held {
	h := &held{
		text:   g.token,
		header: c.family.fetcher.scheme() + " " + g.token,
		times:  schedule(g.sent, g.life, c.family.random),
		scopes: g.scopes,

		identity: g.identity,
	}
	if former := c.held.Load(); former != nil {
		h.replacement = former.replaced.Load()
	}
	if g.offsetKnown {
		h.offset = g.offset
	}
	if h.scopes == nil {
		h.scopes = c.want.scopes
	}
	return h
}

// classify tells what an error means for the next try.
func classify(err error) failure {
	f := failure{err: err}
	if _, ok := errors.AsType[*unusableError](err); ok {
		f.slow, f.own = true, true // a server may have two kinds of tokens
		return f
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		f.retryAfter = metadataRetryAfter(err)
		return f
	}
	f.retryAfter = e.retryAfter
	switch {
	case errors.Is(e, ErrUnavailable):
	case e.Status == http.StatusUnauthorized, e.Code == "invalid_client", e.Code == "unauthorized_client", e.Code == "unsupported_grant_type",
		e.Code == "invalid_dpop_proof", e.Code == "use_dpop_nonce":
		f.slow = true // about the client: each further try may lock it out
	case e.Code != "":
		f.slow, f.own = true, true // about what was asked for, such as invalid_scope
	case e.Status == http.StatusNotFound, e.Status == http.StatusGone, e.Status == http.StatusMisdirectedRequest:
		// The endpoint may have moved: the next try reads the metadata again.
	default:
		f.slow = true // unexplained, as by a firewall; it may be about the client
	}
	return f
}

// report reports a fetch to the observer, or without one a change to the log.
func (c *cell) report(ctx context.Context, f *flight, is trouble, changed bool, err error) {
	config := &c.family.config
	if config.Observe == nil && !changed {
		return
	}
	if background := event.Background(config.Observe, config.Quiet); background != nil {
		observe(ctx, background, c.event(f, is, err))
	}
}
