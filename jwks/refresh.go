package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	defaultLife  = 5 * time.Minute // of a set without Cache-Control
	longestLife  = 24 * time.Hour
	firstRetry   = time.Second
	longestRetry = time.Minute
	blindRetry   = 5 * time.Second // while there is nothing to serve
	maxSetBytes  = 8 << 20         // 10 000 RSA keys of 4096 bits, without certificates
)

// reached reports whether a time has come by the wall clock or by the monotonic
// clock. The latter does not move while a machine is suspended.
func reached(now, t time.Time) bool {
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// heldSet is a key set with its times. It is immutable.
type heldSet struct {
	set        *jose.Set
	url, etag  string
	maxAge     time.Duration // as stated or assumed, for a 304 that states none
	fetchedAt  time.Time
	expiresAt  time.Time
	staleUntil time.Time
	until      time.Time // until then its keys are used without another check
}

// wanted is the key that a call asks for.
type wanted struct {
	kid, alg string
	called   time.Time
	network  string // of the call
	asked    bool   // network is set; it may be empty
	slot     *slot  // of a call for a key that the held set lacks, while it waits
}

// flight is one fetch.
type flight struct {
	began     time.Time
	cancel    context.CancelFunc
	scheduled bool // caused by the schedule, not only by an unknown key
	slots     slots
	done      chan struct{}
	err       error // set before done is closed
}

// step decides a call that the held set alone could not. It returns the result, or
// the flight to wait for. ended is the flight that the call has waited for.
func (r *Remote) step(ctx context.Context, w *wanted, ended *flight) (*jose.Key, *flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal != nil {
		return nil, nil, r.refusal
	}
	now := time.Now()
	if reached(now, r.due) {
		r.begin(ctx, now, true)
	}
	s := r.current.Load()
	usable := s != nil && !reached(now, s.staleUntil)
	if usable {
		// A set that was requested after the call began is current for this call,
		// however slow the answer was.
		answered := ended != nil && ended.err == nil && !ended.began.Before(w.called)
		if answered || !reached(now, r.waitFrom) {
			if key := s.set.Find(w.kid, w.alg); key != nil {
				return key, nil, nil
			}
			if answered || w.kid == "" {
				return nil, nil, unknownKey(w.kid, r.skipped)
			}
		}
	}
	if ended != nil && ended.err != nil {
		return nil, nil, ended.err
	}
	if r.flight == nil && usable && reached(now, r.askAfter) {
		r.askAfter = now.Add(r.cooldown)
		r.begin(ctx, now, false)
	}
	if r.flight == nil {
		return nil, nil, cmp.Or(r.lastErr, unknownKey(w.kid, r.skipped))
	}
	if !w.asked {
		return nil, nil, errWhoAsks
	}
	w.slot = nil
	if unknown := usable && w.kid != "" && s.set.Find(w.kid, w.alg) == nil; unknown {
		if now.Sub(r.flight.began) >= longestWait {
			return nil, nil, errSlow
		}
		if w.slot = r.flight.slots.take(w.network); w.slot == nil {
			return nil, nil, errCrowded
		}
	}
	return nil, r.flight, nil
}

// errWhoAsks tells Key that the call has to wait, so its network is needed.
var errWhoAsks = errors.New("jwks: the network of the call is needed")

// begin starts a fetch unless one is under way. A fetch that an unknown key caused
// also serves the schedule.
func (r *Remote) begin(ctx context.Context, now time.Time, scheduled bool) {
	if r.flight == nil {
		// The fetch has the values of the caller's context, such as its trace, and
		// not its deadline.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		f := &flight{began: now, cancel: cancel, done: make(chan struct{})}
		r.flight = f
		r.fetches++
		held := r.current.Load()
		r.running.Go(func() { r.fly(ctx, f, held, !scheduled) })
	}
	if scheduled && !r.flight.scheduled {
		r.flight.scheduled = true
		if end := r.flight.began.Add(r.timeout); !reached(now, r.waitFrom) && end.After(r.waitFrom) {
			r.waitFrom = end // it began while the set was current: no call waits for it
		}
		r.serve(r.current.Load(), r.waitFrom)
	}
}

// serve lets the keys of a set be used without another check until a moment.
func (r *Remote) serve(s *heldSet, until time.Time) {
	if s == nil {
		return
	}
	next := *s
	next.until = until
	if reached(until, s.staleUntil) {
		next.until = s.staleUntil
	}
	r.current.Store(&next)
}

// fly runs one fetch, in its own goroutine.
func (r *Remote) fly(ctx context.Context, f *flight, held *heldSet, revalidate bool) {
	next, err := r.fetch(ctx, held, revalidate)
	f.cancel()
	if c, closed := r.land(f, held, next, err); !closed {
		r.report(ctx, f, held, next, c, err)
	}
}

// land stores the result of a fetch, and wakes the calls that wait for it. It reports
// what changed, and whether the Remote was closed meanwhile.
func (r *Remote) land(f *flight, held, next *heldSet, err error) (c turned, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(f.done)
	r.flight = nil
	if r.refusal != nil {
		f.err = r.refusal
		return c, true
	}
	c = r.turn(held, next, err)
	if err == nil {
		r.lastErr, r.retries = nil, 0
		life := next.expiresAt.Sub(next.fetchedAt)
		r.due = next.fetchedAt.Add(life*8/10 + rand.N(life/10+1)) // replicas that started together drift apart
		r.waitFrom = next.expiresAt
		r.serve(next, r.due)
		return c, false
	}
	f.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	r.lastErr = f.err
	r.failures++
	if !f.scheduled {
		return c, false // unknown ids, which an attacker can invent, must not slow down the schedule
	}
	r.retries++
	longest := longestRetry
	if held == nil || reached(time.Now(), held.staleUntil) {
		longest = blindRetry // calls are refused until then
	}
	r.due = time.Now().Add(retryDelay(r.retries, longest, err))
	// During an outage no call waits for a retry while calls keep coming. If a retry
	// is overdue by a minute, there were no calls for that long.
	r.waitFrom = r.due.Add(longestRetry)
	if held != nil && !reached(r.waitFrom, held.expiresAt) {
		r.waitFrom = held.expiresAt
	}
	r.serve(held, r.due)
	return c, false
}

// fetch fetches the set, or learns that the held one is unchanged.
func (r *Remote) fetch(ctx context.Context, held *heldSet, revalidate bool) (*heldSet, error) {
	url, err := r.locate(ctx)
	if err != nil {
		return nil, err
	}
	s := &heldSet{url: url}
	var previous *jose.Set
	var etag string
	if held != nil {
		previous = held.set
		if held.url == url {
			etag = held.etag
		}
	}
	doc, err := r.client.Get(ctx, fetch.Request{URL: url, ETag: etag, Revalidate: revalidate, MaxBytes: r.maxBytes})
	switch {
	case err != nil:
	case doc.Unchanged:
		s.set, s.etag, s.maxAge = previous, etag, held.maxAge
	default:
		s.etag, s.maxAge = doc.ETag, defaultLife
		if s.set, err = jose.ParseSet(doc.Body, previous); err == nil && s.set.Len() == 0 {
			err = &unusableError{s.set.Skipped()}
		}
		if err != nil {
			err = fmt.Errorf("jwks: key set at %s: %w", url, err)
		}
	}
	if err != nil {
		r.expire()
		return nil, err
	}
	if doc.Stated {
		s.maxAge = doc.MaxAge
	}
	s.fetchedAt = time.Now()
	s.expiresAt = s.fetchedAt.Add(min(max(s.maxAge-doc.Age, 2*r.cooldown), longestLife))
	s.staleUntil = s.expiresAt.Add(r.maxStale)
	return s, nil
}

// retryDelay returns how long to wait after n failures in a row: up to longest, or as
// long as the issuer asks for.
func retryDelay(n int, longest time.Duration, err error) time.Duration {
	d := longest
	if n <= 6 {
		d = min(d, firstRetry<<(n-1))
	}
	d -= rand.N(d / 2)
	if status, ok := errors.AsType[*fetch.StatusError](err); ok {
		d = max(d, min(status.RetryAfter, longestRetry))
	}
	return d
}
