package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// pool is a set of connections. Limits leave some of them to readers and some to writers.
type pool struct {
	db        *sql.DB
	connector *connector
	conns     int
	writers   *semaphore.Weighted // for all writes
	feed      *semaphore.Weighted // for writes to the feed, which all wait for its last row
	readers   *semaphore.Weighted // for reads, on SQLite, where they must leave a connection to the writer; else nil

	remote bool // the database is on the network, so connections can be dead

	mu      sync.Mutex
	dropped time.Time // when idle connections were last closed
}

func newPool(c *connector, conns int) *pool {
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxLifetime(connLifetime)
	return &pool{db: db, connector: c, conns: conns}
}

// poolOf returns the connections for the operator or for requests.
func (s *Store) poolOf(ctx context.Context) *pool {
	if registry.IsOperator(ctx) {
		return s.operator
	}
	return s.requests
}

// dropIdle closes the connections that are not in use.
func (p *pool) dropIdle() {
	p.db.SetMaxIdleConns(0)
	p.db.SetMaxIdleConns(p.conns)
}

// done is told how a use of the pool ended. After a timeout the other connections may
// be dead too, as after a failover that was not announced. Each would cost a caller
// its timeout, so the idle ones are closed. That happens at most once a second, because
// the database may just be slow.
func (p *pool) done(ctx context.Context, err error) {
	if err == nil || !p.remote || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.dropped) >= time.Second {
		p.dropped = time.Now()
		p.dropIdle()
	}
}

// read waits until the pool has a connection for a reader. Call done after use.
func (p *pool) read(ctx context.Context) (done func(), err error) {
	if p.readers == nil {
		return func() {}, nil
	}
	if err := p.readers.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { p.readers.Release(1) }, nil
}

// query runs a statement that reads. scan reads its rows.
func (s *Store) query(ctx context.Context, p *pool, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	if err := s.whole(); err != nil {
		return err
	}
	defer func() {
		p.done(ctx, err)
		s.health.read(err)
		err = explain(err)
	}()
	leave, err := p.read(ctx)
	if err != nil {
		return err
	}
	defer leave()
	query, args = s.statement(query, args)
	rows, err := p.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if err := scan(rows); err != nil {
		return err
	}
	return rows.Err()
}

// row runs a statement that reads one row.
func (s *Store) row(ctx context.Context, p *pool, query string, args []any, to ...any) error {
	if err := s.whole(); err != nil {
		return err
	}
	leave, err := p.read(ctx)
	if err != nil {
		return explain(err)
	}
	defer leave()
	query, args = s.statement(query, args)
	err = p.db.QueryRowContext(ctx, query, args...).Scan(to...)
	if errors.Is(err, sql.ErrNoRows) {
		s.health.read(nil)
		return err
	}
	p.done(ctx, err)
	s.health.read(err)
	return explain(err)
}

// execute runs one statement that writes, in a transaction of its own, and
// returns how many rows it has changed.
func (s *Store) execute(ctx context.Context, p *pool, query string, args ...any) (changed int64, err error) {
	err = s.repeat(ctx, p, p.writers, target(query), func() error {
		text, args := s.statement(query, args)
		result, err := p.db.ExecContext(ctx, text, args...)
		if err == nil {
			changed, err = result.RowsAffected()
		}
		return err
	})
	return changed, err
}

// whole returns an error when the file of the SQLite database is no longer the one that
// was opened.
func (s *Store) whole() error {
	if s.file == nil {
		return nil
	}
	err := s.file.check()
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	s.health.status.FileError = err
	return err
}

// attempts bounds how often the database may ask for a repetition.
const attempts = 5

// toFeed is the target of every change.
const toFeed = "INSERT INTO m2m_feed"

var targets = regexp.MustCompile(`(INSERT INTO|UPDATE|DELETE FROM) m2m_\w+`)

// target returns the verb and the table of a statement.
func target(query string) string { return targets.FindString(query) }

// repeat waits in the queue, attempts a write to a target, and repeats it if the error is
// retryable.
func (s *Store) repeat(ctx context.Context, p *pool, queue *semaphore.Weighted, target string, attempt func() error) (err error) {
	if err := s.whole(); err != nil {
		return err
	}
	if err := s.Status().Damaged; err != nil {
		return fmt.Errorf("nothing is written: %w", err)
	}
	defer func() {
		if err == nil {
			err = s.whole() // or it was written to a file that is gone
		}
		s.health.wrote(target, err)
		err = explain(err)
	}()
	if err := queue.Acquire(ctx, 1); err != nil {
		return err
	}
	defer queue.Release(1)
	if s.sqlite {
		if err := s.writer.Acquire(ctx, 1); err != nil {
			return err
		}
		defer s.writer.Release(1)
	}
	for n := 1; ; n++ {
		err := attempt()
		p.done(ctx, err)
		if !retryable(err) || n == attempts {
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(n) * 20 * time.Millisecond)): //nolint:gosec // jitter: nothing secret depends on it
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
