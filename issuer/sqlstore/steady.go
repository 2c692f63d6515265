package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// compareClocks begins the comparison of clocks with what the last process has stored. A
// clock that shows more than a day after the last write of the database may be wrong, and
// so may one that the last process did not trust.
func (s *Store) compareClocks(ctx context.Context) error {
	now, _ := s.clock.now()
	if s.sqlite {
		s.clock.read()
	} else {
		var err error
		if now, err = s.readClock(ctx, s.operator); err != nil {
			return wrap("reading the database's clock", err)
		}
	}
	var wall, trusted int64
	steady := true
	err := s.row(ctx, s.operator, "SELECT wall, trusted, steady FROM m2m_clock WHERE id = 1", nil, &wall, &trusted, &steady)
	if errors.Is(err, sql.ErrNoRows) { // sequences are times, too
		err = s.row(ctx, s.operator, "SELECT seq / 1000, seq / 1000 FROM m2m_feed_seq WHERE id = 1", nil, &wall, &trusted)
	}
	if err != nil {
		return wrap("reading when the database was written", err)
	}
	switch {
	case wall == 0:
	case !steady:
		s.clock.distrust(fromMillis(trusted))
	case now.Sub(fromMillis(wall)) > steadyTime:
		s.clock.distrust(fromMillis(wall))
	}
	return nil
}

// keepClock stores the state of the clock.
func (s *Store) keepClock() {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	wall, trusted, steady := s.clock.state(s.sqlite)
	// After an error the next sweep stores it.
	_, _ = s.execute(ctx, s.requests, `
INSERT INTO m2m_clock (id, wall, trusted, steady) VALUES (1, $1, $2, $3)
ON CONFLICT (id) DO UPDATE SET wall = excluded.wall, trusted = excluded.trusted, steady = excluded.steady`, millis(wall), millis(trusted), steady)
}

// state returns what keepClock stores.
func (c *clock) state(sqlite bool) (shown, trusted time.Time, steady bool) {
	if sqlite {
		c.read()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, mono := c.now()
	passed := mono.Sub(c.judge.at)
	return c.judge.shown.Add(passed), c.judge.trusted.Add(passed), c.judge.until.IsZero()
}
