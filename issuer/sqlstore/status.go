package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Status is what a [Store] knows about its database, for operators. In JSON its errors
// are texts.
type Status struct {
	Dialect string // "SQLite" or "PostgreSQL"

	Schema  int  // the version of the tables
	Release int  // the version that this release knows; less than Schema in the middle of an upgrade
	New     bool // this Open created the tables: the database is new and empty

	// ReadOnly reports that the database takes no writes. Reads go on.
	ReadOnly bool

	// ClockOffset is by how much this machine's clock is ahead of the database's, at
	// the last comparison and at least; negative if it is behind. On SQLite it is how
	// far the clock has jumped within the last day. Above registry.MaxClockSkew,
	// PostgreSQL refuses writes except those that only take access away. On SQLite
	// nothing is deleted that expired by the jump.
	ClockOffset time.Duration

	// DatabaseClockJump is by how much the clock of PostgreSQL has jumped within the
	// last day, against the monotonic clock of this process or of an earlier one;
	// negative if it jumped back. Nothing is deleted that expired by the jump.
	DatabaseClockJump time.Duration

	// Ahead is how far the last sequence in the feed, which is a time, is ahead of the
	// clock. It is large after a clock was wrong, which does no harm.
	Ahead time.Duration

	LastRead    time.Time // the last successful read; zero if there was none
	LastError   error     // the last error of the database; nil if there was none
	LastErrorAt time.Time // when that was
	WriteError  error     // why a write failed; nil once others of the same kind have succeeded

	// Damaged says that pages of the SQLite database were found damaged. Nothing is
	// written to it until it is opened again.
	Damaged error

	// FileError says that the file of the SQLite database was deleted or replaced.
	// Every call returns an error.
	FileError error
}

var _ registry.Checker = (*Store)(nil)

// health records how the last uses of the database ended.
type health struct {
	mu     sync.Mutex
	status Status           // what does not change is set by Open
	end    int64            // the last sequence in the feed
	writes map[string]error // the last error by target, if the last write to it failed
}

// read records how a read ended.
func (h *health) read(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.status.LastRead = time.Now()
		return
	}
	h.failed(err)
}

// wrote records how a write to a target ended.
func (h *health) wrote(target string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || errors.Is(err, errGuard) {
		h.status.ReadOnly = false
		if _, failed := h.writes[target]; failed {
			delete(h.writes, target)
			h.status.WriteError = nil
			for _, other := range h.writes {
				h.status.WriteError = other
			}
		}
		return
	}
	if h.failed(err) {
		if h.writes == nil {
			h.writes = map[string]error{}
		}
		h.writes[target], h.status.WriteError = err, err
		h.status.ReadOnly = isReadOnly(err)
	}
}

// worked records that writes to every table have succeeded.
func (h *health) worked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.writes)
	h.status.WriteError = nil
}

// failed records an error of the database. A canceled context is not one.
func (h *health) failed(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	h.status.LastError, h.status.LastErrorAt = err, time.Now()
	if h.status.Damaged == nil && (sqliteCode(err) == sqliteCorrupt || sqliteCode(err) == sqliteNotADB) {
		h.status.Damaged = explain(err)
	}
	return true
}

// ended records the last sequence in the feed.
func (h *health) ended(end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end = end
}

// Status returns what is known about the database, without a query.
func (s *Store) Status() Status {
	if err := s.ready(); err != nil {
		return Status{LastError: wrap("status", err)}
	}
	s.health.mu.Lock()
	status, end := s.health.status, s.health.end
	s.health.mu.Unlock()
	wall, _ := s.clock.now()
	if s.sqlite {
		status.ClockOffset = s.clock.jumped()
	} else {
		status.ClockOffset = s.clock.off().Round(time.Millisecond)
		status.DatabaseClockJump = s.clock.jumped()
		wall = wall.Add(-status.ClockOffset)
	}
	status.Ahead = max(0, time.UnixMicro(end).Sub(wall))
	return status
}

// Ready returns nil when the database can be read and written and its clock agrees with
// this machine's. It reads each table. If the last write has failed it tries one and
// undoes it. On SQLite a file that was deleted or replaced is an error. So is one that was
// found damaged, until it is opened again.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.ready(); err != nil {
		return wrap("not ready", err)
	}
	if err := s.readable(ctx); err != nil {
		return wrap("not ready", err)
	}
	if err := s.Status().Damaged; err != nil {
		return wrap("not ready: nothing is written", err)
	}
	if s.Status().WriteError != nil {
		if err := s.tryWrite(ctx); err != nil {
			return wrap("not ready: the last write failed, and so did another", err)
		}
	}
	if status := s.Status(); status.ReadOnly {
		if !s.sqlite {
			return wrap("not ready", errReadOnlyPG)
		}
		return wrap("not ready", errReadOnly)
	}
	if !s.sqlite {
		return wrap("not ready", s.clock.skewed())
	}
	return nil
}

const readOnlyMode = "current_setting('transaction_read_only')"

// readMode asks PostgreSQL whether it takes writes.
func (s *Store) readMode(ctx context.Context) error {
	var mode string
	if err := s.row(ctx, s.operator, "SELECT "+readOnlyMode, nil, &mode); err != nil {
		return err
	}
	s.health.takesWrites(mode)
	return nil
}

// takesWrites records PostgreSQL's answer.
func (h *health) takesWrites(mode string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.ReadOnly = mode == "on"
}

var (
	errReadOnly   = errors.New("the database is read-only")
	errReadOnlyPG = fmt.Errorf("%w: it is a standby, or default_transaction_read_only is on", errReadOnly)
)

// The codes of SQLite's errors; the extended ones keep them in the low byte.
const (
	sqliteReadOnly = 8
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteNotADB   = 26
)

func isReadOnly(err error) bool { return sqlState(err) == "25006" || sqliteCode(err) == sqliteReadOnly }

func sqliteCode(err error) int {
	var code interface{ Code() int }
	if errors.As(err, &code) {
		return code.Code() & 0xff
	}
	return 0
}

// explain adds what the code of a database's error means.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case sqlState(err) == "25006":
		return fmt.Errorf("%w: %w", errReadOnlyPG, err)
	case isReadOnly(err):
		return fmt.Errorf("%w: %w", errReadOnly, err)
	case sqliteCode(err) == sqliteFull || sqlState(err) == "53100":
		return fmt.Errorf("the database's disk is full: %w", err)
	case sqliteCode(err) == sqliteCorrupt || sqliteCode(err) == sqliteNotADB || sqlState(err) == "XX001" || sqlState(err) == "XX002":
		return fmt.Errorf("the database is damaged: restore a backup: %w", err)
	}
	return err
}
