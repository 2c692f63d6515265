package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Once returns true for the first call with the scope and id, and false for every other
// call until the given time, for all processes on the database. It is one statement.
// Scope and id may be any strings of any length. After an error it is unknown whether
// the call counted, so a second call may return false though none has returned true.
//
// The database's clock decides whether until has passed. On SQLite a clock that has
// jumped does not count for a day.
//
// Not checked: that until is in the future. If it is not, the next call returns true
// too.
func (s *Store) Once(ctx context.Context, scope, id string, until time.Time) (bool, error) {
	if err := s.ready(); err != nil {
		return false, wrap("keeping a replay record", err)
	}
	if err := s.mayWrite(ctx, s.requests); err != nil {
		return false, wrap("keeping a replay record", err)
	}
	defer s.wrote(nil, 0)
	changed, err := s.execute(ctx, s.requests, `
INSERT INTO m2m_once (digest, expires_at) VALUES ($1, $2)
ON CONFLICT (digest) DO UPDATE SET expires_at = excluded.expires_at WHERE m2m_once.expires_at <= GONE_MS`,
		onceDigest(scope, id), millis(until))
	return changed == 1 && err == nil, wrap("keeping a replay record", err)
}

// onceDigest returns the key of the scope and id in the table. It is a hash, because
// callers choose the size and the characters of the id.
func onceDigest(scope, id string) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(scope))))
	h.Write([]byte(scope))
	h.Write([]byte(id))
	return h.Sum(nil)
}
