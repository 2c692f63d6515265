package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
)

// stores checks the store of clients and that of keys. wanted are the scopes that
// routes of the app want.
func (c *check) stores(ctx context.Context, wanted scopes) {
	if c.Open == nil {
		return
	}
	bound, cancel := context.WithTimeout(ctx, storeTimeout)
	store, keyStore, err := c.Open(bound)
	cancel()
	if err != nil {
		do := "Check the settings of the database, and that it runs."
		if errors.Is(err, sqlstore.ErrOldTables) {
			do = "Bring the tables up to date: go run ./example/clients migrate, or start an issuer of this release."
		}
		c.add(Wrong, "store", fmt.Sprintf("It cannot be opened: %v.", err), do)
		c.add(Unchecked, "clients", "Without the store they are not known.", "")
		if keyStore == nil {
			c.add(Unchecked, "timetable", "Without the store of keys it is not known.", "")
			return
		}
	}
	if store != nil && err == nil {
		if closer, ok := store.(io.Closer); ok {
			defer closer.Close()
		}
		c.store(ctx, store)
	}
	if err == nil && store == nil {
		c.add(Unchecked, "store", "Setup.Open returned none.", "Return the store of clients, or leave Open out.")
	}
	if err == nil && keyStore == nil {
		c.add(Unchecked, "timetable", "Setup.Open returned no store of keys.", "Return it, or leave Open out.")
	}
	clients, listed := c.list(ctx, store, err)
	if listed {
		c.clients(clients, wanted)
	}
	c.timetable(ctx, keyStore, len(clients))
}

// store checks the state of the store itself.
func (c *check) store(ctx context.Context, store registry.Manager) {
	bound, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ready := true
	if checker, ok := store.(registry.Checker); ok {
		if err := checker.Ready(bound); err != nil {
			ready = false
			c.add(Wrong, "store", fmt.Sprintf("It is not ready: %v.", err), "See .github/docs/faults.md.")
		}
	}
	begun := time.Now()
	page, err := store.Changes(bound, 0)
	if err != nil {
		c.add(Wrong, "store", fmt.Sprintf("Its feed of changes cannot be read: %v.", err), "See .github/docs/faults.md.")
		return
	}
	c.storeClock(page.Now, begun, time.Now())
	if s, ok := store.(interface{ Status() sqlstore.Status }); ok {
		c.sqlStatus(s.Status(), ready)
	} else if ready {
		c.goodf("store", "It answers.")
	}
}

func (c *check) sqlStatus(s sqlstore.Status, ready bool) {
	for _, fault := range []error{s.Damaged, s.FileError, s.WriteError} {
		if fault != nil && ready { // or else Ready has said it
			ready = false
			c.add(Wrong, "store", fmt.Sprintf("%s is at fault: %v.", s.Dialect, fault), "See .github/docs/faults.md.")
		}
	}
	switch {
	case s.Schema > s.Release:
		c.add(Notice, "store", fmt.Sprintf("%s has tables of version %d, and this release knows version %d. It can work with them.", s.Dialect, s.Schema, s.Release),
			"Finish the upgrade: run the newer release everywhere.")
	case ready:
		c.goodf("store", "%s answers, with tables of version %d, which is this release's.", s.Dialect, s.Schema)
	}
	if s.ReadOnly && ready {
		c.add(Wrong, "store", s.Dialect+" takes no writes, so nothing can be revoked.", "Name the primary, or end the read-only mode.")
	}
	if s.Dialect == "SQLite" && s.ClockOffset.Abs() > registry.MaxClockSkew {
		c.add(Notice, "clock", fmt.Sprintf("The clock has moved by %v since the database was last written, or nothing was written for a day. Nothing that expired by that is deleted for a day.", s.ClockOffset.Round(time.Second)),
			"Nothing, if the clock is right now.")
	}
	if s.DatabaseClockJump.Abs() > registry.MaxClockSkew {
		c.add(Notice, "clock", fmt.Sprintf("The database's clock has jumped by %v within a day. Nothing that expired by that is deleted for a day.", s.DatabaseClockJump.Round(time.Second)),
			"Nothing, if the clock is right now.")
	}
	if s.Ahead > time.Minute {
		c.add(Notice, "clock", fmt.Sprintf("The feed of changes is %v ahead of the clock, as after a clock that was wrong. It does no harm.", s.Ahead.Round(time.Second)), "")
	}
}

// storeClock compares this machine's clock with the store's, if that has one.
func (c *check) storeClock(theirs, begun, ended time.Time) {
	if theirs.IsZero() {
		return
	}
	var off time.Duration // at least
	switch {
	case theirs.Before(begun):
		off = begun.Sub(theirs)
	case theirs.After(ended):
		off = ended.Sub(theirs)
	}
	switch {
	case off.Abs() > registry.MaxClockSkew:
		c.add(Wrong, "clock", fmt.Sprintf("This machine's clock and the store's differ by %v. Beyond %v nothing is granted.", off.Abs().Round(time.Second), registry.MaxClockSkew),
			"Set both clocks by NTP. See .github/docs/clocks.md.")
	case off.Abs() > 2*time.Second:
		c.add(Notice, "clock", fmt.Sprintf("This machine's clock and the store's differ by %v.", off.Abs().Round(time.Millisecond)), "Set both clocks by NTP.")
	default:
		c.goodf("clock", "This machine's clock agrees with the store's.")
	}
}

// list reads all clients. opened is why there is no store.
func (c *check) list(ctx context.Context, store registry.Manager, opened error) (all []registry.Client, ok bool) {
	if opened != nil || store == nil {
		return nil, false
	}
	query := registry.Query{Limit: 500}
	for {
		bound, cancel := context.WithTimeout(ctx, storeTimeout)
		page, err := store.List(bound, query)
		cancel()
		if err != nil {
			c.add(Unchecked, "clients", fmt.Sprintf("They cannot be listed: %v.", err), "Run this again when the store answers.")
			return nil, false
		}
		if len(page) == 0 {
			return all, true
		}
		all = append(all, page...)
		query.After = page[len(page)-1].ID
	}
}

// readOnly is a key store that is not written. A write that would change nothing,
// by which a keyring proves that it can write, is let pass.
type readOnly struct{ jwks.KeyStore }

var errReadOnly = errors.New("the doctor writes nothing")

func (r readOnly) Save(_ context.Context, before, blob []byte) (bool, error) {
	if bytes.Equal(before, blob) {
		return true, nil
	}
	return false, errReadOnly
}
