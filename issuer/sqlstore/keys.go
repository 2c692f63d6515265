package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

// KeyStore returns a key store in the same database. The state of the keyring is sealed
// by [jwks.Sealed] under a label, such as the issuer URL. Give at least one
// key-encryption key of 32 random bytes, and keep it elsewhere than the database. Sealed
// says how to replace it. A database has one keyring for each Config.Name.
func (s *Store) KeyStore(label string, kek ...[]byte) (jwks.KeyStore, error) {
	if err := s.ready(); err != nil {
		return nil, wrap("opening the key store", err)
	}
	if len(kek) == 0 {
		return nil, errors.New("sqlstore: KeyStore needs a key-encryption key: write 32 random bytes, kept elsewhere than the database")
	}
	sealed, err := jwks.Sealed(keyTable{s}, label, kek...)
	return sealed, wrap("opening the key store", err)
}

// keyTable is a table with at most one row.
type keyTable struct{ store *Store }

func (k keyTable) Load(ctx context.Context) ([]byte, error) {
	var state []byte
	err := k.store.row(ctx, k.store.operator, "SELECT state FROM m2m_keys WHERE id = 1", nil, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil && len(state) == 0 {
		err = errors.New("the stored state is empty: restore it from a backup")
	}
	return state, wrap("reading keys", err)
}

func (k keyTable) Save(ctx context.Context, old, blob []byte) (bool, error) {
	var changed int64
	var err error
	if old == nil {
		changed, err = k.store.execute(ctx, k.store.operator, "INSERT INTO m2m_keys (id, state) VALUES (1, $1) ON CONFLICT (id) DO NOTHING", blob)
	} else {
		changed, err = k.store.execute(ctx, k.store.operator, "UPDATE m2m_keys SET state = $1 WHERE id = 1 AND state = $2", blob, old)
	}
	return changed == 1 && err == nil, wrap("keeping keys", err)
}

// Now returns the database's clock, with which a keyring judges what it reads. SQLite has
// no clock of its own: the error is then [errors.ErrUnsupported].
func (k keyTable) Now(ctx context.Context) (time.Time, error) {
	if k.store.sqlite {
		return time.Time{}, wrap("reading the database's clock", errors.ErrUnsupported)
	}
	now, err := k.store.readClock(ctx, k.store.operator)
	return now, wrap("reading the database's clock", err)
}
