package outbound

import "time"

// Status describes a [Source] at a moment. In JSON the error is a text, the clock's offset
// is one such as "1.5s", and times that do not apply are left out.
type Status struct {
	ClientID    string        // of the configuration
	Endpoint    string        // the token endpoint, or the issuer before it was found
	Valid       bool          // a token is held that can be used now, and no API has refused it
	ObtainedAt  time.Time     // when the held token was asked for; zero without one
	RefreshAt   time.Time     // when its first refresh begins, if it is used
	UsableUntil time.Time     // the end of its use if no refresh succeeds
	ExpiresAt   time.Time     // its end
	NextTry     time.Time     // after failures: the next fetch, at the earliest; zero once it is closed
	Failed      int           // fetches that failed in a row
	LastError   error         // of the latest fetch; nil after a success; ErrClosed once it is closed
	ClockOffset time.Duration // of this clock to the server's, by the Date with the held token; 0 if unknown
	Fetches     uint64        // fetches started, of those that For made too
	Failures    uint64        // fetches that failed
	Replays     uint64        // requests that were sent again, with another token
	Nonces      uint64        // requests that were sent again, with the nonce that an API asked for or with its time
}

// Status returns the state of the Source, for an operator. It does not fetch;
// [Source.Ready] does.
func (s *Source) Status() Status {
	if s.zero() {
		return Status{LastError: errZero}
	}
	f := s.family
	f.mu.Lock()
	defer f.mu.Unlock()
	now, c := time.Now(), f.shared(s.cell.Load())
	status := Status{
		ClientID: f.config.ClientID,
		Endpoint: f.fetcher.at(),
		Fetches:  f.fetches.Load(),
		Failures: f.failures.Load(),
		Replays:  f.replays.Load(),
		Nonces:   f.nonced.Load(),
	}
	h := c.held.Load()
	if h.usable(now) {
		status.Valid = !h.refused.Load()
		status.ObtainedAt, status.RefreshAt, status.UsableUntil, status.ExpiresAt = h.obtained, h.refresh, h.until, h.expires
		status.ClockOffset = h.offset
	}
	switch {
	case s.want.refusal != nil:
		status.LastError = s.want.refusal
	case f.closed:
		status.LastError = ErrClosed
	default:
		c.failure(&status, now)
	}
	return status
}

// failure fills in what failed, and when the next try is. It is called with the lock.
func (c *cell) failure(status *Status, now time.Time) {
	b := &c.family.backoff
	if c.backoff.failures > 0 && !c.backoff.failedAt.Before(b.failedAt) {
		b = &c.backoff
	}
	if b.failures == 0 {
		return
	}
	status.Failed, status.LastError, status.NextTry = b.failures, b.err, c.nextTry(now)
	if h := c.held.Load(); h.usable(now) {
		status.NextTry = c.beforeTheEnd(h, status.NextTry)
	}
}
