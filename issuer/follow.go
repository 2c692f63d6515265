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
)

// follower polls the store's feed of changes and applies each.
//
// One poll runs at a time, and at most one waits for it. All who need a poll that
// begins later share that one, so callers of Sync, however many, do not delay the
// follower's own.
type follower struct {
	store   registry.Store
	maxLag  time.Duration
	apply   func(registry.Change)
	observe func(err error) // told when polls begin to fail, and with nil when they succeed again

	life context.Context // ends at close
	stop context.CancelFunc

	mu      sync.Mutex
	running *flight // nil: none
	next    *flight // nil: none
	closed  bool
	flights sync.WaitGroup

	timeouts int  // in a row; of the poll that runs
	failing  bool // of the poll that runs

	sequence atomic.Int64              // of the last change read
	current  atomic.Pointer[time.Time] // when the last poll that reached the end of the feed began; nil: none has
	failure  atomic.Value              // error, of the last poll that failed
}

// flight is a poll that is running, or the one after it.
type flight struct {
	done chan struct{}
	err  error // once done
}

// followPromise is how soon a change counts here while the store answers: two
// polls fit in it after one that failed.
const (
	followPromise = 2 * time.Second
	followEvery   = 600 * time.Millisecond // from the start of one poll to that of the next
	followTimeout = 650 * time.Millisecond // of one page
)

var (
	errLag     = errors.New("issuer: the store's feed cannot be followed")
	errSetBack = errors.New("issuer: the store's feed was set back twice in one poll")
	errNoPage  = errors.New("issuer: the store's feed does not advance, and says that more changes follow")
	errClosed  = errors.New("issuer: the Issuer is closed")
)

func newFollower(store registry.Store, maxLag time.Duration, apply func(registry.Change), observe func(error)) *follower {
	f := &follower{store: store, maxLag: maxLag, apply: apply, observe: observe}
	f.life, f.stop = context.WithCancel(context.Background())
	return f
}

// run polls until ctx is done.
func (f *follower) run(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		_ = f.poll(ctx) // ready reports a failure
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

// join waits for a poll: one that begins after the call, or any.
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

func (f *follower) choose(later bool) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil
	case f.running == nil:
		f.running = &flight{done: make(chan struct{})}
		f.flights.Go(f.fly)
		return f.running
	case !later:
		return f.running
	case f.next == nil:
		f.next = &flight{done: make(chan struct{})}
	}
	return f.next
}

// fly polls until no one waits for another poll.
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
	if failing := err != nil; failing != f.failing && f.life.Err() == nil {
		f.failing = failing
		f.observe(err)
	}
	return err
}

func (f *follower) readPages() error {
	for restarted := false; ; {
		begun, since := time.Now(), f.sequence.Load()
		page, err := f.readPage(since)
		switch {
		case err != nil:
			return err
		case page.End < since && restarted:
			return errSetBack
		case page.End < since:
			// Read it from the start; what is known stays known.
			f.sequence.Store(0)
			restarted = true
			continue
		case page.More && (len(page.Changes) == 0 || page.Changes[len(page.Changes)-1].Sequence <= since):
			return errNoPage
		}
		for _, change := range page.Changes {
			since = max(since, change.Sequence)
		}
		// First the sequence, then the evictions: a record that is read after an
		// eviction, and cached, has a number that is not below it.
		f.sequence.Store(since)
		for _, change := range page.Changes {
			f.apply(change)
		}
		if !page.More {
			f.current.Store(&begun)
			return nil
		}
	}
}

func (f *follower) readPage(since int64) (registry.Page, error) {
	bound, cancel := context.WithTimeoutCause(f.life, f.timeout(), errStoreStalled)
	defer cancel()
	return f.store.Changes(bound, since)
}

// timeout is that of the next page. There is no promise to keep before the first
// poll. A store that is too slow to keep it is given more time after two
// timeouts, up to that of every other query, so that it can be followed at all.
func (f *follower) timeout() time.Duration {
	if f.current.Load() == nil {
		return storeTimeout
	}
	return min(followTimeout<<min(max(f.timeouts-1, 0), 3), storeTimeout)
}

// lag returns for how long the feed may not have been followed. It waits for the
// first poll. The error says that there was none, or none for maxLag.
func (f *follower) lag(ctx context.Context) (time.Duration, error) {
	current := f.current.Load()
	if current == nil {
		var err error
		if current, err = f.first(ctx); err != nil {
			return 0, fmt.Errorf("%w: %w", errLag, err)
		}
	}
	// The clock is read each time: a process that was stopped serves requests again
	// before a timer could say so. Since is the quicker half of Now.
	lag := time.Since(*current)
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
