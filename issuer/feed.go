package issuer

import (
	"context"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// reread is the state of reading the feed again from its start, because it was set back.
type reread struct {
	running bool
	certain bool  // the end of the feed is before the old cursor
	from    int64 // the old cursor
}

var (
	errSetBack = errors.New("issuer: the store's feed was set back twice in one poll")
	errNoPage  = errors.New("issuer: the store's feed does not advance, but reports more changes")
)

// readPages reads the feed from the cursor to its end.
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
			f.readAnew() // what was read by the wrong clock may expire here too early
			continue
		}
		behind := page.End < f.cursor
		switch {
		case behind && restarted:
			return errSetBack
		case behind || anchored && !explains(page.Changes, f.anchor):
			// What is known here stays known.
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

// take applies the changes of a page, and moves the cursor to the last one. Behind the
// last page it moves to the end of the feed.
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
	// First the sequence, then the evictions: a record that is read and cached after an
	// eviction has a number that is not below the change.
	f.sequence.Store(max(f.cursor, f.sequence.Load()))
	for _, change := range page.Changes {
		if change.Sequence > before {
			f.apply(change)
		}
	}
	f.taken()
}

// finish notes that a poll that began at the time has reached the end of the feed.
func (f *follower) finish(begun time.Time) {
	f.current.Store(&begun)
	if r := f.reread; r.running {
		f.reread = reread{}
		f.restored(r.from, f.cursor, r.certain)
	}
}

// readAnew moves the cursor to the start of a feed that was not set back.
func (f *follower) readAnew() { f.cursor, f.anchor = 0, registry.Change{} }

// startOver moves the cursor to the start of a feed that was set back.
func (f *follower) startOver(certain bool) {
	if !f.reread.running {
		f.reread = reread{running: true, from: f.cursor}
	}
	f.setBack()
	f.reread.certain = f.reread.certain || certain
	f.readAnew()
}

// anchorMargin is how long before its expiry a store may drop an entry, because clocks
// differ.
const anchorMargin = 2 * registry.MaxClockSkew

// anchored reports whether the feed must still hold the change at the cursor. A feed
// that was set back does not hold it, even if more was written to the feed since.
func (f *follower) anchored() bool { return f.anchorLives() && f.anchor.Sequence == f.cursor }

// anchorLives reports whether the feed must still hold the anchor.
func (f *follower) anchorLives() bool {
	return f.anchor.Sequence > 0 && time.Until(f.anchor.ExpiresAt) > anchorMargin
}

// tailWritten reports whether something was written to a feed whose entries behind the
// anchor had all expired. Only then does it pay to look for the anchor with a query of
// its own, which reads the whole tail again.
func (f *follower) tailWritten(page registry.Page) bool {
	return f.anchorLives() && f.anchor.Sequence < f.cursor && page.End > f.cursor
}

// wasSetBack reports whether the feed no longer holds the anchor.
func (f *follower) wasSetBack() (bool, error) {
	page, err := f.readPage(f.anchor.Sequence - 1)
	return err == nil && !explains(page.Changes, f.anchor), err
}

// explains reports whether a page that should begin with the anchor holds it, or what
// replaced it (see registry.Store.Revoke).
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
