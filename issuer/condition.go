package issuer

import (
	"sync"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// condition is the state of something in the background that works or fails. Only
// changes of it are reported.
type condition struct {
	mu     sync.Mutex
	reason event.Reason // empty while it works
	err    error        // of the last failure
	since  time.Time    // when it began to fail
}

// set sets the state. An empty reason means that it works. It returns whether that is a
// change: it has begun to fail, fails for another reason, or works again.
func (c *condition) set(reason event.Reason, err error) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if changed = c.reason != reason; changed {
		c.since = time.Now()
	}
	if c.reason, c.err = reason, err; reason == "" {
		c.err, c.since = nil, time.Time{}
	}
	return changed
}

// get returns when the failure began, and its error; nil while it works.
func (c *condition) get() (since time.Time, failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since, c.err
}

// elapsed returns how long ago t was: by the wall clock or the monotonic clock,
// whichever says more. The monotonic clock stops while a machine sleeps.
func elapsed(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
