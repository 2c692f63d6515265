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
// One poll runs at a time, and at most one waits for it. All who need a poll that
// begins later share that one, so callers of Sync, however many, do not delay the
// follower's own.
type follower struct {
	store  registry.Store
	maxLag time.Duration
	apply  func(registry.Change)
	report func(event.Reason, error) // a change of state: polls begin to fail, or succeed again

	taken func() // called when the changes of a page are applied

	// setBack is told that the feed may have been set back, before it is read anew, and
	// restored that it was read to its end since then.
	setBack  func()
	restored func(from, to int64, certain bool)

	life context.Context // ends at close
	stop context.CancelFunc

	mu      sync.Mutex
	running *polling // nil: none
	next    *polling // nil: none
	closed  bool
	flights sync.WaitGroup

	// Of the poll that runs:
	timeouts int             // in a row
	cursor   int64           // up to where the feed was read: its end, or the last change of a page
	anchor   registry.Change // the last change that was read, zero if that is not known
	reread   reread

	state    condition
	clock    clock
	sequence atomic.Int64              // of the end of the feed as it was read; it never falls
	current  atomic.Pointer[time.Time] // when the last poll that reached the end of the feed began; nil: none has
	failure  atomic.Value              // error, of the last poll that failed
}

// reread says that the feed is being read from its start, because it was set back.
type reread struct {
	running bool
	certain bool  // its end lies before what was read
	from    int64 // the cursor before
}

// polling is a poll that is running, or the one after it.
type polling struct {
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
	var reason event.Reason
	if err != nil {
		reason = event.StoreUnavailable
	}
	if f.life.Err() == nil && f.state.set(reason, err) {
		f.report(reason, err)
	}
	return err
}

func (f *follower) readPages() error {
	if f.clock.jumped() {
		f.readAnew()
	}
	anchored := f.anchored()
	for restarted := false; ; anchored = false {
		begun, since := time.Now(), f.cursor
		if anchored {
			since-- // so that the page begins with the anchor
		}
		page, err := f.readPage(since)
		if err != nil {
			return err
		}
		if f.clock.compare(page.Now, begun, time.Now()) {
			f.readAnew() // what was read while it was wrong may have been kept for too short
			continue
		}
		behind := page.End < f.cursor
		switch {
		case behind && restarted:
			return errSetBack
		case behind || anchored && !explains(page.Changes, f.anchor):
			// Read it from the start; what is known stays known.
			f.startOver(behind)
			restarted = true
			continue
		case page.More && (len(page.Changes) == 0 || page.Changes[len(page.Changes)-1].Sequence <= f.cursor):
			return errNoPage
		}
		if f.tailWritten(page) {
			set, err := f.wasSetBack()
			switch {
			case err != nil:
				return err
			case set && restarted:
				return errSetBack
			case set:
				f.startOver(false)
				restarted = true
				continue
			}
		}
		f.take(page)
		if !page.More {
			f.finish(begun)
			return nil
		}
	}
}

// take applies the changes of a page. Past the last one the feed has nothing to read
// again, up to its end.
func (f *follower) take(page registry.Page) {
	before := f.cursor
	for _, change := range page.Changes {
		if change.Sequence > f.cursor {
			f.cursor, f.anchor = change.Sequence, change
		}
	}
	if !page.More {
		f.cursor = max(f.cursor, page.End)
	}
	// First the sequence, then the evictions: a record that is read after an
	// eviction, and cached, has a number that is not below it.
	f.sequence.Store(max(f.cursor, f.sequence.Load()))
	for _, change := range page.Changes {
		if change.Sequence > before {
			f.apply(change)
		}
	}
	f.taken()
}

// finish notes that the end of the feed was reached by a poll that began at the time.
func (f *follower) finish(begun time.Time) {
	f.current.Store(&begun)
	if r := f.reread; r.running {
		f.reread = reread{}
		f.restored(r.from, f.cursor, r.certain)
	}
}

// readAnew begins to read the feed from its start, although it was not set back.
func (f *follower) readAnew() { f.cursor, f.anchor = 0, registry.Change{} }

// startOver begins to read a feed that was set back.
func (f *follower) startOver(certain bool) {
	if !f.reread.running {
		f.reread = reread{running: true, from: f.cursor}
	}
	f.setBack()
	f.reread.certain = f.reread.certain || certain
	f.readAnew()
}

// anchorMargin is how long before its end an entry of the feed counts as one that the
// store may leave out, as clocks differ.
const anchorMargin = 2 * registry.MaxClockSkew

// anchored reports whether the feed must still hold the change at the cursor. A feed
// that was set back does not, also when more has been written to it since.
func (f *follower) anchored() bool { return f.anchorLives() && f.anchor.Sequence == f.cursor }

// anchorLives reports whether the feed must still hold the anchor.
func (f *follower) anchorLives() bool {
	return f.anchor.Sequence > 0 && time.Until(f.anchor.ExpiresAt) > anchorMargin
}

// tailWritten reports whether something was written to a feed whose end lay after the
// anchor, as what follows that has expired. Only then the anchor is worth a query of its
// own, which reads all of the tail again.
func (f *follower) tailWritten(page registry.Page) bool {
	return f.anchorLives() && f.anchor.Sequence < f.cursor && page.End > f.cursor
}

// wasSetBack reports whether the feed does not hold the anchor any more.
func (f *follower) wasSetBack() (bool, error) {
	page, err := f.readPage(f.anchor.Sequence - 1)
	return err == nil && !explains(page.Changes, f.anchor), err
}

// explains reports whether a page that should begin with the anchor does, or has what
// has replaced it (see registry.Store.Revoke).
func explains(changes []registry.Change, anchor registry.Change) bool {
	for _, c := range changes {
		switch {
		case nameOf(c) == nameOf(anchor):
			return true
		case c.Kind == registry.ClientCutOff && anchor.Kind == registry.TokenRevoked && c.ClientID == anchor.ClientID:
			return true
		}
	}
	return false
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
	// before a timer could say so.
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
