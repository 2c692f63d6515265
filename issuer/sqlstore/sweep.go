package sqlstore

import (
	"context"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Expired rows are removed after a write, at intervals: one goroutine removes some and
// ends. A process that writes nothing removes nothing.
const (
	sweepEvery   = time.Minute // after a write, at the latest
	sweepWrites  = 256         // or after so many writes
	sweepRows    = 512         // the LIMIT of each statement: more than came in since
	sweepPause   = 20 * time.Millisecond
	sweepTimeout = 10 * time.Second // for all steps of one kind
	maxCovered   = 1024             // clients that wait for a sweep; what is missed expires in time
	stepTimeout  = 5 * time.Second
)

// sweeps delete some expired rows of each table, by all clocks, and late: revocations and
// replay records after a day, networks after 30 days, and secrets, without which a client
// is locked out, after 90 days. A locked row is being removed or renewed by another
// transaction, so it is skipped. The WITH makes PostgreSQL search for the rows once,
// however many it expects.
var sweeps = []string{
	`WITH gone AS (SELECT seq FROM m2m_feed WHERE expires_at <= (SELECT GONE_MS - 86400000) ORDER BY expires_at LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_feed WHERE seq IN (SELECT seq FROM gone)`,
	`WITH gone AS (SELECT digest FROM m2m_once WHERE expires_at <= (SELECT GONE_MS - 86400000) ORDER BY expires_at LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_once WHERE digest IN (SELECT digest FROM gone)`,
	`WITH gone AS (SELECT client_id, id FROM m2m_secrets WHERE expires_at > 0 AND expires_at <= (SELECT GONE_MS - 7776000000) ORDER BY expires_at LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_secrets WHERE (client_id, id) IN (SELECT client_id, id FROM gone)`,
	`WITH gone AS (SELECT client_id, network FROM m2m_networks WHERE succeeded_at <= (SELECT GONE_MS - 5184000000) ORDER BY succeeded_at LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_networks WHERE (client_id, network) IN (SELECT client_id, network FROM gone)`,
}

// sweepCovered deletes revocations of tokens that a later cut-off of the client covers.
const sweepCovered = `WITH gone AS (SELECT seq FROM m2m_feed WHERE client_id = $1 AND seq < $2 AND token_id <> '' AND NOT cutoff LIMIT 512 FOR UPDATE SKIP LOCKED)
DELETE FROM m2m_feed WHERE seq IN (SELECT seq FROM gone)`

type sweeper struct {
	mu      sync.Mutex
	writes  int
	begun   time.Time
	running bool
	covered map[string]int64 // clients that were cut off → the sequence
	closed  chan struct{}
	done    sync.WaitGroup
}

// wrote counts a write, of an entry if there is one, and starts a sweep if one is due.
func (s *Store) wrote(entry *registry.Change, sequence int64) {
	w := &s.sweeper
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	if entry != nil && entry.Kind == registry.ClientCutOff && len(w.covered) < maxCovered {
		w.covered[entry.ClientID] = sequence
	}
	due := w.writes >= sweepWrites || time.Since(w.begun) >= sweepEvery
	if w.running || w.isClosed() || !due && len(w.covered) == 0 {
		return
	}
	if due {
		w.writes, w.begun = 0, time.Now()
	}
	w.running = true
	w.done.Go(func() {
		if due {
			s.sweep()
		}
		for {
			clientID, sequence, more := w.next()
			if !more {
				return
			}
			s.sweepAll(nil, sweepCovered, clientID, sequence)
		}
	})
}

// next returns a client that was cut off. When there is none the goroutine ends.
func (w *sweeper) next() (clientID string, sequence int64, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for clientID, sequence = range w.covered {
		delete(w.covered, clientID)
		return clientID, sequence, true
	}
	w.running = false
	return "", 0, false
}

// sweep removes what has expired, unless clocks differ.
func (s *Store) sweep() {
	for _, statement := range sweeps {
		s.sweepAll(s.mayDestroy, statement)
	}
	s.keepClock()
}

// sweepAll removes rows in small steps, with pauses for other writers, until none is left,
// its time is up, or may returns false. After an error the next sweep continues.
func (s *Store) sweepAll(may func(context.Context, *pool) bool, statement string, args ...any) {
	begun := time.Now()
	for removed := int64(sweepRows); removed == sweepRows && time.Since(begun) < sweepTimeout; {
		select {
		case <-time.After(sweepPause):
		case <-s.sweeper.closed:
			return
		}
		removed = s.sweepStep(may, statement, args)
	}
}

// sweepStep is not interrupted by Close: a connection of SQLite would then be
// closed without its log having been written back.
func (s *Store) sweepStep(may func(context.Context, *pool) bool, statement string, args []any) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	if may != nil && !may(ctx, s.requests) {
		return 0
	}
	removed, err := s.execute(ctx, s.requests, statement, args...)
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
