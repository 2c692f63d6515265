package jwks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	defaultLife  = 5 * time.Minute // of a set that comes without Cache-Control
	longestLife  = 24 * time.Hour
	firstRetry   = time.Second
	longestRetry = time.Minute
	blindRetry   = 5 * time.Second // while there is nothing to serve
)

// snapshot is a key set and its times. It is never changed, only replaced.
type snapshot struct {
	set        *jose.Set
	url, etag  string
	maxAge     time.Duration // as stated or assumed, for a 304 that states none
	fetchedAt  time.Time
	expiresAt  time.Time
	staleUntil time.Time
	until      time.Time // the keys serve without a further look before this moment
}

// flight is one fetch.
type flight struct {
	began     time.Time
	cancel    context.CancelFunc
	scheduled bool // the schedule wanted it, not just an unknown key id
	done      chan struct{}
	err       error // set before done is closed
}

// step decides a call that the snapshot alone could not: it gives the answer,
// or the flight to wait for. ended is the one the call has waited for already.
func (r *Remote) step(ctx context.Context, kid string, called time.Time, ended *flight) (*jose.Key, *flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal != nil {
		return nil, nil, r.refusal
	}
	now := time.Now()
	if !now.Before(r.due) {
		r.begin(ctx, now, true)
	}
	s := r.current.Load()
	usable := s != nil && now.Before(s.staleUntil)
	if usable {
		// A set that was asked for after the call came in is current for this
		// call, however long the answer took.
		answered := ended != nil && ended.err == nil && !ended.began.Before(called)
		if answered || now.Before(r.waitFrom) {
			if key := s.set.Find(kid, ""); key != nil {
				return key, nil, nil
			}
			if answered || kid == "" {
				return nil, nil, ErrUnknownKey
			}
		}
	}
	if ended != nil && ended.err != nil {
		return nil, nil, ended.err
	}
	if r.flight == nil && usable && !now.Before(r.askAfter) {
		r.askAfter = now.Add(r.cooldown)
		r.begin(ctx, now, false)
	}
	switch {
	case r.flight != nil:
		return nil, r.flight, nil
	case r.lastErr != nil:
		return nil, nil, r.lastErr
	default:
		return nil, nil, ErrUnknownKey
	}
}

// begin starts a fetch unless one is under way. A scheduled one need not be a
// second one: it makes do with the fetch that an unknown key id caused.
func (r *Remote) begin(ctx context.Context, now time.Time, scheduled bool) {
	if r.flight == nil {
		// The caller's values, such as its trace, go with the fetch. Its end does not.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		f := &flight{began: now, cancel: cancel, done: make(chan struct{})}
		r.flight = f
		r.fetches++
		held := r.current.Load()
		r.running.Go(func() { r.fly(ctx, f, held, !scheduled) })
	}
	if scheduled && !r.flight.scheduled {
		r.flight.scheduled = true
		if end := r.flight.began.Add(r.timeout); now.Before(r.waitFrom) && end.After(r.waitFrom) {
			r.waitFrom = end // it began while the set was good, so nobody is to wait for it
		}
		r.serve(r.current.Load(), r.waitFrom) // meanwhile there is nothing to do
	}
}

// serve publishes a snapshot whose keys are to serve until then.
func (r *Remote) serve(s *snapshot, until time.Time) {
	if s == nil {
		return
	}
	next := *s
	next.until = until
	if s.staleUntil.Before(until) {
		next.until = s.staleUntil
	}
	r.current.Store(&next)
}

// fly is the goroutine of one fetch.
func (r *Remote) fly(ctx context.Context, f *flight, held *snapshot, asked bool) {
	s, err := r.fetch(ctx, held, asked)
	f.cancel()

	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(f.done)
	r.flight = nil
	if r.refusal != nil { // closed meanwhile
		f.err = r.refusal
		return
	}
	if err == nil {
		r.lastErr, r.retries = nil, 0
		life := s.expiresAt.Sub(s.fetchedAt)
		r.due = s.fetchedAt.Add(life*8/10 + rand.N(life/10+1)) // replicas that started together drift apart
		r.waitFrom = s.expiresAt
		r.serve(s, r.due)
		return
	}
	f.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	r.lastErr = f.err
	r.failures++
	if !f.scheduled {
		return // the schedule stands: it must not be slowed down by whoever invents key ids
	}
	r.retries++
	longest := longestRetry
	if held == nil || !time.Now().Before(held.staleUntil) {
		longest = blindRetry // callers are turned away meanwhile
	}
	r.due = time.Now().Add(retryDelay(r.retries, longest, err))
	// During an outage nobody waits for the retries, as long as there are some:
	// a minute after one should have been made, nobody had asked for long.
	r.waitFrom = r.due.Add(longestRetry)
	if held != nil && held.expiresAt.After(r.waitFrom) {
		r.waitFrom = held.expiresAt
	}
	r.serve(held, r.due)
}

// fetch gets the set, or the news that the one held still stands.
func (r *Remote) fetch(ctx context.Context, held *snapshot, asked bool) (*snapshot, error) {
	url, err := r.locate(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{url: url}
	var previous *jose.Set
	var etag string
	if held != nil {
		previous = held.set
		if held.url == url {
			etag = held.etag
		}
	}
	doc, err := getDocument(ctx, r.client, url, etag, asked)
	switch {
	case err != nil:
	case doc.unchanged:
		s.set, s.etag, s.maxAge = previous, etag, held.maxAge
	default:
		s.etag, s.maxAge = doc.etag, defaultLife
		s.set, err = jose.ParseSet(doc.body, previous)
	}
	if err != nil {
		r.forget()
		return nil, err
	}
	if doc.stated {
		s.maxAge = doc.maxAge
	}
	s.fetchedAt = time.Now()
	s.expiresAt = s.fetchedAt.Add(min(max(s.maxAge-doc.age, 2*r.cooldown), longestLife))
	s.staleUntil = s.expiresAt.Add(r.maxStale)
	return s, nil
}

// retryDelay is how long to wait after n failures in a row: up to longest, or for
// what the issuer asks for.
func retryDelay(n int, longest time.Duration, err error) time.Duration {
	d := longest
	if n <= 6 {
		d = min(d, firstRetry<<(n-1))
	}
	d -= rand.N(d / 2)
	if status, ok := errors.AsType[*statusError](err); ok {
		d = max(d, min(status.retryAfter, longestRetry))
	}
	return d
}
