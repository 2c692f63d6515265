package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

	// Ahead is how far the last number in the feed, which is a time, is ahead of the
	// clock: more than a moment after a clock that was wrong. It does no harm.
	Ahead time.Duration

	LastRead    time.Time // the last read that worked; zero if none has
	LastError   error     // what the database last failed with; nil if it never has
	LastErrorAt time.Time // when
	WriteError  error     // why the last write failed; nil if it worked

	// FileError says that the file of the SQLite database was deleted or exchanged:
	// every call returns an error.
	FileError error
}

var _ registry.Checker = (*Store)(nil)

// health is how the database was when it was last used.
type health struct {
	mu     sync.Mutex
	status Status // what does not change is set by Open
	end    int64  // the last number in the feed
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

// wrote notes how a write ended.
func (h *health) wrote(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || errors.Is(err, errGuard) {
		h.status.WriteError, h.status.ReadOnly = nil, false
		return
	}
	if h.failed(err) {
		h.status.WriteError = err
		h.status.ReadOnly = isReadOnly(err)
	}
}

// failed notes an error of the database. That a caller gave up is none.
func (h *health) failed(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	h.status.LastError, h.status.LastErrorAt = err, time.Now()
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
		wall = wall.Add(-status.ClockOffset)
	}
	status.Ahead = max(0, time.UnixMicro(end).Sub(wall))
	return status
}

// Ready returns nil when the database can be read and written, and this machine's
// clock agrees with it. It reads, and it writes a little if the last write failed.
// On SQLite a file that was deleted or exchanged is an error.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.ready(); err != nil {
		return wrap("not ready", err)
	}
	if err := s.readable(ctx); err != nil {
		return wrap("not ready", err)
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

// tryWrite writes something that changes nothing. On SQLite it takes room for some
// revocations, as a small write can find room on a full disk: a row of networks that
// is no client's and long expired, so that one left behind by a crash is removed.
func (s *Store) tryWrite(ctx context.Context) error {
	if !s.sqlite {
		_, err := s.execute(ctx, s.operator, "UPDATE m2m_schema SET applied_at = applied_at WHERE version = $1", s.Status().Schema)
		return err
	}
	const room = 64 << 10
	if _, err := s.execute(ctx, s.operator, "INSERT INTO m2m_networks (client_id, network, succeeded_at) VALUES ('', $1, 0) ON CONFLICT DO NOTHING", strings.Repeat("x", room)); err != nil {
		return err
	}
	_, err := s.execute(ctx, s.operator, "DELETE FROM m2m_networks WHERE client_id = ''")
	return err
}

// readable reads the clock, and whether the database takes writes.
func (s *Store) readable(ctx context.Context) error {
	if s.sqlite {
		var end int64
		return s.row(ctx, s.operator, "SELECT seq FROM m2m_feed_seq WHERE id = 1", nil, &end)
	}
	if _, err := s.readClock(ctx, s.operator); err != nil {
		return err
	}
	return s.readMode(ctx)
}

// readMode asks PostgreSQL whether it takes writes.
func (s *Store) readMode(ctx context.Context) error {
	var mode string
	if err := s.row(ctx, s.operator, "SELECT current_setting('transaction_read_only')", nil, &mode); err != nil {
		return err
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	s.health.status.ReadOnly = mode == "on"
	return nil
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
