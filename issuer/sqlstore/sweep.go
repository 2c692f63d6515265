package sqlstore

import (
	"context"
	"sync"
	"time"
)

// Expired rows are removed after a write, if it is time: one goroutine removes
// some and ends. A process that writes nothing removes nothing, and need not.
const (
	sweepEvery   = time.Minute // after a write, at the latest
	sweepWrites  = 256         // or after that many
	sweepRows    = 512         // the LIMIT of each statement: more than came in since
	sweepPause   = 20 * time.Millisecond
	sweepTimeout = 30 * time.Second // for all steps together
	stepTimeout  = 5 * time.Second
)

// Some expired rows of each table. A row that is locked is being removed or
// renewed by another transaction: it is skipped, so that neither waits. In a
// WITH, PostgreSQL looks for them once, however many it expects.
var sweeps = []string{
	`WITH gone AS (SELECT seq FROM m2m_feed WHERE expires_at <= $1 ORDER BY expires_at LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_feed WHERE seq IN (SELECT seq FROM gone)`,
	`WITH gone AS (SELECT digest FROM m2m_once WHERE expires_at <= $1 ORDER BY expires_at LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_once WHERE digest IN (SELECT digest FROM gone)`,
	`WITH gone AS (SELECT client_id, id FROM m2m_secrets WHERE expires_at > 0 AND expires_at <= $1 ORDER BY expires_at LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_secrets WHERE (client_id, id) IN (SELECT client_id, id FROM gone)`,
}

type sweeper struct {
	mu      sync.Mutex
	writes  int
	begun   time.Time
	running bool
	closed  chan struct{}
	done    sync.WaitGroup
}

// wrote counts a write, and starts a sweep if it is time for one.
func (s *Store) wrote() {
	w := &s.sweeper
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	if w.running || w.isClosed() || (w.writes < sweepWrites && time.Since(w.begun) < sweepEvery) {
		return
	}
	w.writes, w.begun, w.running = 0, time.Now(), true
	w.done.Go(func() {
		s.sweep()
		w.mu.Lock()
		w.running = false
		w.mu.Unlock()
	})
}

// sweep removes rows in small steps, with pauses for others, until there are
// none or its time is up. What fails is left to the next sweep.
func (s *Store) sweep() {
	begun := time.Now()
	for _, statement := range sweeps {
		for removed := int64(sweepRows); removed == sweepRows && time.Since(begun) < sweepTimeout; {
			select {
			case <-time.After(sweepPause):
			case <-s.sweeper.closed:
				return
			}
			removed = s.sweepStep(statement)
		}
	}
}

// sweepStep is not interrupted by Close: a connection of SQLite would then be
// closed without its log having been written back.
func (s *Store) sweepStep(statement string) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	removed, err := s.execute(ctx, s.requests, statement, time.Now().UnixMilli())
	if err != nil {
		return 0
	}
	return removed
}

// isClosed is asked, and close closes, under mu.
func (w *sweeper) isClosed() bool {
	select {
	case <-w.closed:
		return true
	default:
		return false
	}
}

func (w *sweeper) close() {
	w.mu.Lock()
	if !w.isClosed() {
		close(w.closed)
	}
	w.mu.Unlock()
	w.done.Wait()
}
