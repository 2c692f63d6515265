package outbound

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	firstDelay    = time.Second     // the longest delay after the first failure
	longestDelay  = time.Minute     // and after many
	slowDelay     = time.Minute     // the longest after the first refusal that a retry will not change
	slowestDelay  = 5 * time.Minute // and after many
	maxRetryAfter = time.Hour       // of Retry-After
	retryBurst    = 10              // retries that the budget allows at once
	retryEvery    = 6 * time.Second // and one more after each such time
)

// backoff decides when to ask again after a failure: with exponential delays and full
// jitter, within a budget. The zero backoff is closed, which is to say: ask.
type backoff struct {
	failures int       // in a row
	failedAt time.Time // the latest one
	next     time.Time // the next try
	err      error     // of the latest failure
	slow     bool      // the latest failure will not pass by itself
	probe    *flight   // the one try that is under way after failures
}

// ready reports whether a try may begin.
func (b *backoff) ready(now time.Time) bool { return !now.Before(b.next) }

// claim lets one try begin after failures. Others wait until it has ended.
func (b *backoff) claim(f *flight, timeout time.Duration) {
	if b.failures > 0 {
		b.next, b.probe = f.began.Add(timeout), f
	}
}

// ended lets other tries begin after the one that claimed it.
func (b *backoff) ended(f *flight, now time.Time) {
	if b.probe == f {
		b.next, b.probe = now, nil
	}
}

// failure is why a try failed.
type failure struct {
	err        error
	slow       bool          // a retry will most likely fail too
	own        bool          // it is about the scopes or resources of one token only
	retryAfter time.Duration // what the server asked for
}

// fail plans the next try after one that began at began. Tries that were under way
// together count as one failure.
func (b *backoff) fail(began, now time.Time, f failure, budget *rate.Limiter, random func(n time.Duration) time.Duration) {
	together := b.failures > 0 && began.Before(b.failedAt)
	if !together {
		if b.slow != f.slow {
			b.failures = 0 // the two kinds are counted apart
		}
		b.failures++
		b.failedAt = now
	}
	b.err, b.slow = f.err, f.slow
	var delay time.Duration
	if f.slow {
		longest := doubled(slowDelay, slowestDelay, b.failures)
		delay = longest/2 + random(longest/2)
	} else {
		delay = f.retryAfter + random(doubled(firstDelay, longestDelay, b.failures))
	}
	delay = max(delay, f.retryAfter)
	if !together && !f.own { // of one at a time, so reservations cannot pile up
		delay = max(delay, budget.ReserveN(now, 1).DelayFrom(now))
	}
	if next := now.Add(delay); !together || next.After(b.next) {
		b.next = next
	}
}

// doubled returns first, doubled for each failure after the first one, at most longest.
func doubled(first, longest time.Duration, failures int) time.Duration {
	return min(longest, first<<min(failures-1, 20))
}
