package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// change is what is written with an entry in the feed: all of it or nothing. On
// PostgreSQL it is one statement, so no lock is held while the store and the
// database talk, and a store that vanishes leaves none behind. On SQLite, where a
// statement does one thing, it is a transaction.
//
// A lock of a client is taken before that of the feed, so that none waits for one
// that waits for it. All that wait for the feed's row do so with nothing left to
// do but to commit.
type change struct {
	guard *step  // selects one number of one row if the rest is to happen; nil: it always is
	steps []step // each has GUARD in its condition, and FOUND is the guard's number; on SQLite it runs in this order
	entry registry.Change
}

type step struct {
	query string
	args  []any
}

// errGuard says that the guard selected nothing, so nothing was written.
var errGuard = errors.New("the row has changed meanwhile")

// errNoNumber says that the feed has no number for an entry: a part of the database
// was lost, or written by something else.
var errNoNumber = errors.New("m2m_feed_seq has no row, or a number that is none of the feed's: the database is incomplete: restore a backup")

// maxNumber is above any time in microseconds, which numbers are, and leaves room to
// count on.
const maxNumber = "4611686018427387904"

// apply writes the change. It returns the guard's number, and the sequence of the
// entry.
func (s *Store) apply(ctx context.Context, p *pool, c *change) (guard, sequence int64, err error) {
	entry := s.entry(&c.entry)
	err = s.repeat(ctx, p, p.feed, toFeed, func() error {
		if s.sqlite {
			return s.transact(ctx, p, func(t *tx) (err error) {
				guard, sequence, err = t.apply(ctx, c, entry)
				return err
			})
		}
		query, args := s.statement(c.statement(entry))
		guard, sequence, err = scanChange(p.db.QueryRowContext(ctx, query, args...))
		return err
	})
	if err == nil {
		s.health.ended(sequence)
	}
	return guard, sequence, err
}

// scanChange reads what PostgreSQL answers to a change.
func scanChange(row *sql.Row) (guard, sequence int64, err error) {
	var found, number, one sql.NullInt64
	err = row.Scan(&found, &number, &one)
	switch {
	case sqlState(err) == divisionByZero:
		err = errNoNumber
	case err == nil && !number.Valid:
		err = errGuard
	}
	return found.Int64, number.Int64, err
}

// takeNumber gives the entry its place. Numbers follow the clock where that is
// ahead, so that a database that was set back (a restored backup, a failover that
// lost commits) does not give anew the ones that followers have seen.
const takeNumber = "UPDATE m2m_feed_seq SET seq = CASE WHEN seq < NOW_US THEN NOW_US ELSE seq + 1 END WHERE id = 1 AND seq < MAX_NUMBER AND GUARD RETURNING seq"

// undoWithoutNumber divides by zero, which undoes the statement, when there was no
// number for the entry of something else that the statement has written.
const (
	undoWithoutNumber = "1 / (CASE WHEN GUARD THEN (SELECT COUNT(*) FROM numbered) ELSE 1 END)"
	divisionByZero    = "22012"
)

// entry adds the entry, or moves the one of the same kind, token, client and
// secret. The kind is in the columns: see kindOf. A token that is revoked again,
// not for longer, keeps its place.
func (s *Store) entry(c *registry.Change) step {
	expires := "$4"
	args := []any{c.TokenID + c.SecretID, c.ClientID, isCutOff(c.Kind), millis(c.ExpiresAt)}
	if c.Kind != registry.TokenRevoked {
		expires, args[3] = "KEPT_MS + $4", c.Kind.Lifetime().Milliseconds()
	}
	return step{query: `
INSERT INTO m2m_feed (seq, token_id, client_id, cutoff, expires_at)
SELECT n.seq, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BOOLEAN), ` + strings.Replace(expires, "$4", "CAST($4 AS BIGINT)", 1) + `
FROM NUMBERED n WHERE TRUE
ON CONFLICT (token_id, client_id, cutoff) DO UPDATE SET
  seq = CASE WHEN excluded.expires_at > m2m_feed.expires_at OR excluded.cutoff OR excluded.token_id = '' THEN excluded.seq ELSE m2m_feed.seq END,
  expires_at = CASE WHEN excluded.expires_at > m2m_feed.expires_at THEN excluded.expires_at ELSE m2m_feed.expires_at END
RETURNING seq`, args: args}
}

func isCutOff(kind registry.Kind) bool {
	return kind == registry.ClientCutOff || kind == registry.SecretCutOff || kind == registry.AllCutOff
}

// kindOf is the kind of a row.
func kindOf(tokenID, clientID string, cutOff bool) registry.Kind {
	switch {
	case cutOff && tokenID != "":
		return registry.SecretCutOff // token_id is the secret's
	case cutOff && clientID == "":
		return registry.AllCutOff
	case cutOff:
		return registry.ClientCutOff
	case tokenID != "":
		return registry.TokenRevoked
	}
	return registry.ClientChanged
}

var parameter = regexp.MustCompile(`\$\d+`)

// statement puts the whole change into one statement of PostgreSQL.
func (c *change) statement(entry step) (query string, args []any) {
	var with []string
	add := func(name string, s step) {
		before := len(args)
		text := parameter.ReplaceAllStringFunc(s.query, func(p string) string {
			n, _ := strconv.Atoi(p[1:]) // digits, as the expression says
			return fmt.Sprintf("$%d", before+n)
		})
		with, args = append(with, name+" AS ("+text+")"), append(args, s.args...)
	}
	condition, found := "TRUE", "0"
	if c.guard != nil {
		condition, found = "EXISTS (SELECT 1 FROM guard)", "(SELECT found FROM guard)"
		add("guard (found)", *c.guard)
	}
	for i, s := range c.steps {
		add(fmt.Sprintf("step%d", i), s)
	}
	add("numbered", step{query: takeNumber})
	add("entry", entry)
	query = "WITH " + strings.Join(with, ",\n") + "\nSELECT " + found + ", (SELECT seq FROM entry), " + undoWithoutNumber
	return strings.NewReplacer("GUARD", condition, "FOUND", found, "NUMBERED", "numbered", "MAX_NUMBER", maxNumber).Replace(query), args
}

// apply runs the change's statements on SQLite.
func (t *tx) apply(ctx context.Context, c *change, entry step) (guard, sequence int64, err error) {
	if c.guard != nil {
		err := t.row(ctx, c.guard.query, c.guard.args...).Scan(&guard)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, 0, errGuard
		}
		if err != nil {
			return 0, 0, err
		}
	}
	in := strings.NewReplacer("GUARD", "TRUE", "FOUND", strconv.FormatInt(guard, 10), "NUMBERED", "m2m_feed_seq", "MAX_NUMBER", maxNumber)
	for _, s := range c.steps {
		if err := t.exec(ctx, in.Replace(s.query), s.args...); err != nil {
			return 0, 0, err
		}
	}
	err = t.row(ctx, in.Replace(takeNumber)).Scan(&sequence)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoNumber
	}
	if err != nil {
		return 0, 0, err
	}
	err = t.row(ctx, in.Replace(entry.query), entry.args...).Scan(&sequence)
	return guard, sequence, err
}
