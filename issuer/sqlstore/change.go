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

// change is an atomic write with an entry in the feed. On PostgreSQL it is one statement,
// so no lock is held during a round trip, and a process that vanishes leaves no lock
// behind. On SQLite, which cannot write to several tables in one statement, it is a
// transaction.
//
// The lock of a client is taken before that of the feed, to avoid deadlocks. A change that
// waits for the feed's row has nothing left to do but to commit.
type change struct {
	guard *step  // selects one number, or no row if nothing shall be written; nil if there is no condition
	steps []step // each has GUARD in its condition; FOUND is the guard's number; on SQLite they run in this order
	entry registry.Change
}

type step struct {
	query string
	args  []any
}

// errGuard says that the guard selected nothing, so nothing was written.
var errGuard = errors.New("the row has changed meanwhile")

// errNoNumber says that the feed has no sequence for an entry: part of the database
// was lost, or another program has written to it.
var errNoNumber = errors.New("m2m_feed_seq has no row, or a number out of range: the database is incomplete: restore a backup")

// maxNumber is above any time in microseconds, which sequences are, and leaves room for
// more.
const maxNumber = "4611686018427387904"

// apply writes the change. It returns the guard's number and the entry's sequence.
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

// takeNumber gives the entry its sequence. Sequences follow the clock where that is
// ahead. So a database that was set back (a restored backup, a failover that lost
// commits) does not reuse sequences that followers have seen.
const takeNumber = "UPDATE m2m_feed_seq SET seq = CASE WHEN seq < NOW_US THEN NOW_US ELSE seq + 1 END WHERE id = 1 AND seq < MAX_NUMBER AND GUARD RETURNING seq"

// undoWithoutNumber divides by zero, which undoes the statement, when its guard holds but
// there was no sequence for the entry.
const (
	undoWithoutNumber = "1 / (CASE WHEN GUARD THEN (SELECT COUNT(*) FROM numbered) ELSE 1 END)"
	divisionByZero    = "22012"
)

// entry adds the entry, or moves the one of the same kind, token, client and
// secret. The columns tell the kind; see kindOf. A token that is revoked again, but not
// for longer, keeps its sequence.
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
