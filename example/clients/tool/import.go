package tool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

var importVerb = Verb{
	Group: groupMany, Name: "import", Args: "FILE.csv [-secrets FILE]", Summary: "add clients of a CSV file; bad rows are named",
	Takes: []string{"file"},
	Text: `Adds clients. The first row names the columns: client_id, and any of client_name,
scope, audiences, default_audience, introspects (lists with spaces), token_ttl
(seconds), token_endpoint_auth_method, disabled, metadata (a JSON object), jwks (a
JWK set), jwks_uri, tls_client_auth_subject_dn, tls_client_auth_san_dns (…_uri, …_ip,
…_email), workload (a JSON array), dpop_bound_access_tokens,
tls_client_certificate_bound_access_tokens, client_secret (in plain) and secret_hash
(argon2id or bcrypt). - is the standard input. Secrets that people chose, and hashes,
work at issuers that set Config.ImportedSecrets.

A client without client_secret and secret_hash gets a generated secret, which goes to
the file that -secrets names, a CSV of mode 0600. The secret is on the disk before the
client has it. A client with keys, a certificate or a workload gets none.

Good rows go in. Each bad row is named with its line and what is wrong with it, and
makes the exit status 1. A client without audiences goes in with a warning: it gets no
token. A client that is there and equal is skipped, so run the same command again after
an interruption, or with the bad rows corrected. One that is there and differs is a bad
row: apply and set change clients. A client that was deleted meanwhile gets its secret
of -secrets again: name a new file to have a new one.

The JSON is {"added": N, "unchanged": N, "bad": [{"line", "client_id", "reason"}]}.`,
	Example: "clients import clients.csv -secrets secrets.csv",
	Setup: func(flags *flag.FlagSet) Action {
		secrets := flags.String("secrets", "", "`FILE` for generated secrets")
		return func(ctx context.Context, s *Session, args []string) error {
			i := &importing{s: s, path: args[0], progress: time.Now()}
			return i.run(ctx, *secrets)
		}
	},
}

// importing is a run of import.
type importing struct {
	s        *Session
	path     string
	header   []string
	progress time.Time // when progress was last shown

	Added     int      `json:"added"`
	Unchanged int      `json:"unchanged"`
	Bad       []badRow `json:"bad"`
}

type badRow struct {
	Line   int    `json:"line"`
	ID     string `json:"client_id,omitempty"`
	Reason string `json:"reason"`
}

// chunk is how many rows share one write to the file of secrets.
const chunk = 100

func (i *importing) run(ctx context.Context, secrets string) error {
	file, err := i.s.input(i.path)
	if err != nil {
		return err
	}
	defer file.Close()
	header, rows, err := readRows(file)
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	i.header, i.Bad = header, []badRow{}
	a, err := i.s.newAdder(secrets)
	if err != nil {
		return err
	}
	defer a.close()
	seen := 0
	for part := range slices.Chunk(rows, chunk) {
		if err := i.rows(ctx, a, part); err != nil {
			return fmt.Errorf("%s: stopped after %d of %d rows; run the same command again to finish: %w", i.s.Place, seen, len(rows), err)
		}
		if seen += len(part); seen < len(rows) && time.Since(i.progress) > time.Second {
			i.progress = time.Now()
			fmt.Fprintf(i.s.Err, "clients: %d of %d rows: %s\n", seen, len(rows), i.summary())
		}
	}
	if i.s.JSON {
		err = i.s.answer(i)
	} else {
		_, err = fmt.Fprintf(i.s.Out, "%s: %s\n", i.s.Place, i.summary())
	}
	if err == nil && len(i.Bad) > 0 {
		err = fmt.Errorf("%s: %d rows are bad and were left out", i.path, len(i.Bad))
	}
	return err
}

func (i *importing) summary() string {
	return fmt.Sprintf("%d added, %d unchanged, %d bad", i.Added, i.Unchanged, len(i.Bad))
}

// rows adds a chunk of rows.
func (i *importing) rows(ctx context.Context, a *adder, rows []row) error {
	var fresh []*desired
	for n := range rows {
		r := &rows[n]
		if len(r.problems) > 0 {
			i.bad(&r.desired, strings.Join(r.problems, "; "))
			continue
		}
		stored, err := i.s.Client(ctx, r.client.ID)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			fresh = append(fresh, &r.desired)
		case err != nil:
			return err
		default:
			if err := i.compare(&r.desired, stored); err != nil {
				return err
			}
		}
	}
	if err := a.prepare(fresh); err != nil {
		return err
	}
	for _, d := range fresh {
		switch err := a.add(ctx, d); {
		case err == nil:
			i.Added++
			i.s.warn(i.at(d), &d.client)
		case errors.Is(err, registry.ErrConflict): // the last registration of a killed run may have been made late
			stored, err := i.s.Client(ctx, d.client.ID)
			if err == nil {
				err = i.compare(d, stored)
			}
			if err != nil {
				return err
			}
		case refusedOne(err):
			i.bad(d, plain(err).Error())
		default:
			return err
		}
	}
	return nil
}

// compare compares a row with the client that is there, in the columns of the file.
func (i *importing) compare(d *desired, stored *registry.Client) error {
	want := d.client.Clone()
	if d.keepDisabled {
		want.Disabled = stored.Disabled
	}
	changes := slices.DeleteFunc(differences(stored, want), func(c fieldChange) bool {
		column, _, _ := strings.Cut(c.Name, ".")
		return !slices.Contains(i.header, column)
	})
	missing, _, err := d.missing(stored)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		changes = append(changes, fieldChange{Name: "its secret"})
	}
	if len(changes) > 0 {
		i.bad(d, "the client is there and differs in "+names(changes)+": change it with clients apply or clients set")
		return nil
	}
	i.Unchanged++
	return nil
}

func (i *importing) bad(d *desired, reason string) {
	i.Bad = append(i.Bad, badRow{d.line, d.client.ID, reason})
	fmt.Fprintf(i.s.Err, "%s: %s\n", i.at(d), reason)
}

// at names a row.
func (i *importing) at(d *desired) string {
	return fmt.Sprintf("%s:%d: %s", i.path, d.line, dash(d.client.ID))
}
