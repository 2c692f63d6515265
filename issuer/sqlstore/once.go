package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Once reports true at the first call with the scope and id and false at every
// other until the time given, for all processes on the database: one statement.
// Either may be any string of any length. With an error it is unknown whether the
// call counted, so a second may get false without the first having got true.
//
// The database's clock decides whether it is past until. On SQLite a clock that has
// jumped does not make it so, for a day.
//
// Not checked: that until lies ahead; if it does not, the next call is a first
// one again.
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

// onceDigest is the key of the scope and id in the table, so that the id's author
// decides neither its size nor its characters.
func onceDigest(scope, id string) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(scope))))
	h.Write([]byte(scope))
	h.Write([]byte(id))
	return h.Sum(nil)
}
