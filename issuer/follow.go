package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// follower polls the store's feed of changes and applies each.
//
// One poll runs at a time, and at most one waits behind it. All callers that need a
// later poll share that one. So callers of Sync, however many, do not delay the
// follower's own polls.
type follower struct {
	store  registry.Store
	maxLag time.Duration
	apply  func(registry.Change)
	report func(event.Reason, error) // a change of state: polls begin to fail, or succeed again

	taken func() // is called when the changes of a page are applied

	// setBack is called when the feed may have been set back, before it is read again from
	// its start. restored is called when that has reached the end.
	setBack  func()
	restored func(from, to int64, certain bool)

	life context.Context // ends at close
	stop context.CancelFunc

	mu      sync.Mutex
	running *polling // nil: none
	next    *polling // nil: none
	closed  bool
	flights sync.WaitGroup

	// Used by the running poll alone:
	timeouts int             // in a row
	cursor   int64           // the sequence up to which the feed was read
	anchor   registry.Change // the last change that was read, zero if not known
	reread   reread

	state    condition
	clock    clock
	sequence atomic.Int64              // of the end of the feed; it never falls
	current  atomic.Pointer[time.Time] // when the last poll that reached the end began; nil: none has
	failure  atomic.Value              // the error of the last failed poll
}

// polling is a poll that is running, or the one after it.
type polling struct {
	done chan struct{}
	err  error // once done
}

// followPromise is how soon a change counts here while the store answers. Two polls
// fit in it after one that failed.
const (
	followPromise = 2 * time.Second
	followEvery   = 600 * time.Millisecond // from the start of one poll to that of the next
	followTimeout = 650 * time.Millisecond // of one page
)

var (
	errLag    = errors.New("issuer: the store's feed cannot be followed")
	errClosed = errors.New("issuer: the Issuer is closed")
)

func newFollower(store registry.Store, maxLag time.Duration, apply func(registry.Change), report func(event.Reason, error)) *follower {
	f := &follower{
		store: store, maxLag: maxLag, apply: apply, report: report, clock: clock{report: report},
		taken: func() {}, setBack: func() {}, restored: func(int64, int64, bool) {},
	}
	f.life, f.stop = context.WithCancel(context.Background())
	return f
}

// run polls until ctx is done.
func (f *follower) run(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		_ = f.poll(ctx) // Ready reports a failure
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// close ends the poll that runs, and waits for it.
func (f *follower) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.flights.Wait()
}

// poll reads the feed to its end. What was written before the call is applied
// when it returns nil.
func (f *follower) poll(ctx context.Context) error { return f.join(ctx, true) }

// join waits for a poll: for one that begins after the call if later, else for any.
func (f *follower) join(ctx context.Context, later bool) error {
	poll := f.choose(later)
	if poll == nil {
		return fmt.Errorf("%w: %w", errClosed, context.Canceled)
	}
	select {
	case <-poll.done:
		return poll.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *follower) choose(later bool) *polling {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil
	case f.running == nil:
		f.running = &polling{done: make(chan struct{})}
		f.flights.Go(f.fly)
		return f.running
	case !later:
		return f.running
	case f.next == nil:
		f.next = &polling{done: make(chan struct{})}
	}
	return f.next
}

// fly polls until no caller waits for another poll.
func (f *follower) fly() {
	for more := true; more; {
		err := f.read()
		f.mu.Lock()
		ended := f.running
		f.running, f.next = f.next, nil
		more = f.running != nil
		f.mu.Unlock()
		ended.err = err
		close(ended.done)
	}
}

// read reads the feed to its end, page by page, and notes how that went.
func (f *follower) read() error {
	err := f.readPages()
	if err != nil {
		err = fmt.Errorf("issuer: reading the feed: %w", err)
		f.failure.Store(err)
	}
	if !errors.Is(err, errStoreStalled) && !errors.Is(err, context.DeadlineExceeded) {
		f.timeouts = 0
	} else {
		f.timeouts++
	}
	var reason event.Reason
	if err != nil {
		reason = event.StoreUnavailable
	}
	if f.life.Err() == nil && f.state.set(reason, err) {
		f.report(reason, err)
	}
	return err
}

// timeout returns the timeout of the next page. Before the first poll there is no
// followPromise to keep. A store that is too slow for it gets more time after two
// timeouts, up to storeTimeout, so that it can be followed at all.
func (f *follower) timeout() time.Duration {
	if f.current.Load() == nil {
		return storeTimeout
	}
	return min(followTimeout<<min(max(f.timeouts-1, 0), 3), storeTimeout)
}

// lag returns how long ago the last poll that reached the end began. It waits for the
// first poll. The error says that none has succeeded, or none within maxLag.
func (f *follower) lag(ctx context.Context) (time.Duration, error) {
	current := f.current.Load()
	if current == nil {
		var err error
		if current, err = f.first(ctx); err != nil {
			return 0, fmt.Errorf("%w: %w", errLag, err)
		}
	}
	// The clock is read on each call: a process that was stopped serves requests again
	// before its timers fire.
	lag := elapsed(*current)
	if lag > f.maxLag {
		return lag, f.lagging(lag)
	}
	return lag, nil
}

func (f *follower) lagging(lag time.Duration) error {
	cause, _ := f.failure.Load().(error)
	return fmt.Errorf("%w for %v: %w", errLag, lag.Round(time.Second), cmp.Or[error](cause, errStoreStalled))
}

// first waits for the first poll that succeeds.
func (f *follower) first(ctx context.Context) (*time.Time, error) {
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	if err := f.join(bound, false); err != nil {
		return nil, err
	}
	return f.current.Load(), nil
}
