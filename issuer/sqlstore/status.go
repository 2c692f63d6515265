package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Status is what a [Store] knows of its database, for operators. As JSON its
// errors are texts.
type Status struct {
	Dialect string // "SQLite" or "PostgreSQL"

	Schema  int  // the version of the tables
	Release int  // the version that this release knows; less than Schema in the middle of an upgrade
	New     bool // this Open made the tables: a new, empty database

	// ReadOnly reports that the database takes no writes: what was read goes on.
	ReadOnly bool

	// ClockOffset is how far this machine's clock is ahead of the database's, at
	// least, and at the last comparison; negative if it is behind. On SQLite it is
	// how far the clock has jumped, within the last day. Beyond
	// registry.MaxClockSkew writes are refused on PostgreSQL, save those that only
	// take access away; on SQLite nothing is deleted that expired by the jump.
	ClockOffset time.Duration

	// DatabaseClockJump is by how much the clock of PostgreSQL has jumped ahead against
	// the monotonic clock of this process, in the last day, or since the last process
	// wrote it down; negative if back. Nothing is deleted that expired by the jump.
	DatabaseClockJump time.Duration

	// Ahead is how far the last number in the feed, which is a time, is ahead of the
	// clock: more than a moment after a clock that was wrong. It does no harm.
	Ahead time.Duration

	LastRead    time.Time // the last read that worked; zero if none has
	LastError   error     // what the database last failed with; nil if it never has
	LastErrorAt time.Time // when
	WriteError  error     // why a write failed; nil once others of the same kind have worked

	// Damaged says that pages of the SQLite database were found damaged. Nothing is
	// written to it until it is opened again.
	Damaged error

	// FileError says that the file of the SQLite database was deleted or exchanged:
	// every call returns an error.
	FileError error
}

var _ registry.Checker = (*Store)(nil)

// health is how the database was when it was last used.
type health struct {
	mu     sync.Mutex
	status Status           // what does not change is set by Open
	end    int64            // the last number in the feed
	writes map[string]error // the targets, see there, to which the last write failed
}

// read notes how a read ended.
func (h *health) read(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.status.LastRead = time.Now()
		return
	}
	h.failed(err)
}

// wrote notes how a write to a target ended.
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

// worked notes that writes to every table have worked.
func (h *health) worked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.writes)
	h.status.WriteError = nil
}

// failed notes an error of the database. That a caller gave up is none.
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

// ended notes the last number in the feed.
func (h *health) ended(end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end = end
}

// Status returns what is known of the database without asking it.
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

// Ready returns nil when the database can be read and written, and this machine's
// clock agrees with it. It reads each table, and it tries a write, and undoes it, if one
// has failed. On SQLite a file that was deleted or exchanged is an error, and so is
// one that was found damaged, until it is opened again.
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

// takesWrites notes PostgreSQL's answer.
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

// explain says in words what a database's code means.
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
