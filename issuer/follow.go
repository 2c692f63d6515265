package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// follower reads the store's feed of changes, again and again, and applies each.
type follower struct {
	store  registry.Store
	maxLag time.Duration
	apply  func(registry.Change)

	polling  *semaphore.Weighted       // held by the one that reads the feed
	sequence int64                     // of the last change read
	current  atomic.Pointer[time.Time] // when the last poll that reached the end of the feed began; nil: none has
	failure  atomic.Value              // error, of the last poll that failed
}

// followEvery is how often the feed is polled: twice fits in 2 s, should one poll
// fail.
const followEvery = 750 * time.Millisecond

var (
	errLag     = errors.New("issuer: the store's feed cannot be followed")
	errSetBack = errors.New("issuer: the store's feed was set back twice in one poll")
	errNoPage  = errors.New("issuer: the store's feed does not advance, and says that more changes follow")
)

func newFollower(store registry.Store, maxLag time.Duration, apply func(registry.Change)) *follower {
	return &follower{store: store, maxLag: maxLag, apply: apply, polling: semaphore.NewWeighted(1)}
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

// poll reads the feed to its end. What was written before the call is applied
// when it returns nil.
func (f *follower) poll(ctx context.Context) error {
	if err := f.polling.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer f.polling.Release(1)
	return f.pollLocked(ctx)
}

func (f *follower) pollLocked(ctx context.Context) error {
	for restarted := false; ; {
		begun := time.Now()
		page, err := f.read(ctx)
		switch {
		case err != nil:
		case page.End < f.sequence && restarted:
			err = errSetBack
		case page.End < f.sequence:
			// Read it from the start; what is known stays known.
			f.sequence, restarted = 0, true
			continue
		case page.More && (len(page.Changes) == 0 || page.Changes[len(page.Changes)-1].Sequence <= f.sequence):
			err = errNoPage
		}
		if err != nil {
			f.failure.Store(fmt.Errorf("issuer: reading the feed: %w", err))
			return err
		}
		for _, change := range page.Changes {
			f.apply(change)
			f.sequence = max(f.sequence, change.Sequence)
		}
		if !page.More {
			f.current.Store(&begun)
			return nil
		}
	}
}

func (f *follower) read(ctx context.Context) (registry.Page, error) {
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	return f.store.Changes(bound, f.sequence)
}

// first is poll for those who wait for the first one.
func (f *follower) first(ctx context.Context) error {
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	if err := f.polling.Acquire(bound, 1); err != nil {
		return context.Cause(bound)
	}
	defer f.polling.Release(1)
	if f.current.Load() != nil {
		return nil
	}
	return f.pollLocked(bound)
}

// ready returns an error when the feed has not been followed for too long.
func (f *follower) ready(ctx context.Context) error {
	if f.current.Load() == nil {
		if err := f.first(ctx); err != nil {
			return fmt.Errorf("%w: %w", errLag, err)
		}
	}
	// The clock is read each time: a process that was stopped serves requests again
	// before a timer could say so.
	if lag := time.Since(*f.current.Load()); lag > f.maxLag {
		err, _ := f.failure.Load().(error)
		return fmt.Errorf("%w for %v: %w", errLag, lag.Round(time.Second), cmp.Or[error](err, errStoreStalled))
	}
	return nil
}
