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
// jitter, within a budget. The zero backoff lets a try begin.
type backoff struct {
	failures int       // in a row
	refusals int       // of these, the slow ones: the two kinds are counted apart
	failedAt time.Time // the latest one
	next     time.Time // the next try
	hold     time.Time // the end of a refusal's delay or of a Retry-After: nothing but a success shortens it
	err      error     // of the latest failure
	slow     bool      // the latest failure will not pass by itself
	probe    *flight   // the one try that is under way
}

// ready reports whether a try may begin.
func (b *backoff) ready(now time.Time) bool { return b.probe == nil && !now.Before(b.next) }

// earliest returns when a try may begin, as far as it is known now. A try that is under
// way ends within the timeout, or soon after.
func (b *backoff) earliest(now time.Time) time.Time {
	if soon := now.Add(time.Second); b.probe != nil && b.next.Before(soon) {
		return soon
	}
	return b.next
}

// claim makes other tries wait until this one has ended.
func (b *backoff) claim(f *flight, timeout time.Duration) {
	b.next, b.probe = f.began.Add(timeout), f
}

// ended lets other tries begin after the one that claimed it.
func (b *backoff) ended(f *flight, now time.Time) {
	if b.probe == f {
		b.next, b.probe = latest(now, b.hold), nil
	}
}

// passed ends the delays after a try that began at began and did not fail, and reports
// whether it has. A refusal that came while the try was under way stays.
func (b *backoff) passed(began time.Time) bool {
	if b.slow && began.Before(b.failedAt) {
		return false
	}
	probe, next := b.probe, b.next
	if *b = (backoff{}); probe != nil {
		b.probe, b.next = probe, next
	}
	return true
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
	late := b.slow && !f.slow && now.Before(b.hold) // a refusal counts for more than what ends after it
	if !together || f.slow && !b.slow {
		b.failures++
		if f.slow {
			b.refusals++
		}
		if !late {
			b.failedAt = now
		}
	}
	if !late {
		b.err, b.slow = f.err, f.slow
	}
	var delay time.Duration
	if f.slow {
		longest := doubled(slowDelay, slowestDelay, b.refusals)
		delay = max(longest/2+random(longest/2), f.retryAfter)
		b.hold = latest(b.hold, now.Add(delay))
	} else {
		delay = f.retryAfter + random(doubled(firstDelay, longestDelay, b.failures-b.refusals))
		b.hold = latest(b.hold, now.Add(f.retryAfter))
	}
	if !together && !f.own { // of one at a time, so reservations cannot pile up
		delay = max(delay, budget.ReserveN(now, 1).DelayFrom(now))
	}
	next := latest(b.hold, now.Add(delay))
	if !together || next.After(b.next) {
		b.next = next
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// doubled returns first, doubled for each failure after the first one, at most longest.
func doubled(first, longest time.Duration, failures int) time.Duration {
	return min(longest, first<<min(max(failures-1, 0), 20))
}
