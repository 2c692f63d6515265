package jwks_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log"

	"github.com/echo-m2m/m2m/jwks"
)

// signingKeys is a KeyStore in a table of your database:
//
//	CREATE TABLE signing_keys (id INTEGER PRIMARY KEY, state BYTEA NOT NULL)
//
// Package sqlstore has one for PostgreSQL and SQLite.
type signingKeys struct{ db *sql.DB }

func (s signingKeys) Load(ctx context.Context) ([]byte, error) {
	var state []byte
	err := s.db.QueryRowContext(ctx, `SELECT state FROM signing_keys WHERE id = 1`).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return state, err
}

// Save is one statement, so it is atomic. The statement changes one row, or none if
// another replica wrote first.
func (s signingKeys) Save(ctx context.Context, old, state []byte) (bool, error) {
	query, args := `UPDATE signing_keys SET state = $1 WHERE id = 1 AND state = $2`, []any{state, old}
	if old == nil {
		query, args = `INSERT INTO signing_keys (id, state) VALUES (1, $1) ON CONFLICT DO NOTHING`, []any{state}
	}
	result, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Two replicas of an issuer share their keys in a database, encrypted, so that a dump of
// the database is not a copy of the keys.
func ExampleSealed() {
	db := sql.OpenDB(&oneRow{}) // for your database: sql.Open("pgx", url)
	defer db.Close()
	kek := make([]byte, 32) // from your secret manager
	if _, err := rand.Read(kek); err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	table := signingKeys{db}
	store, err := jwks.Sealed(table, "https://auth.example.com", kek)
	if err != nil {
		log.Fatal(err)
	}
	var signing []string
	for range 2 {
		keys, err := jwks.Open(ctx, store, jwks.Policy{})
		if err != nil {
			log.Fatal(err)
		}
		defer keys.Close()
		signing = append(signing, keys.Status().SigningKey)
	}
	fmt.Println("one key for both replicas:", signing[0] == signing[1])

	state, err := table.Load(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the database has private keys in the clear:", bytes.Contains(state, []byte(`"d"`)))
	// Output:
	// one key for both replicas: true
	// the database has private keys in the clear: false
}
