package tool

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

var staleVerb = Verb{
	Group: groupSecrets, Name: "stale-secrets", Args: "[-unused DAYS] [-expiring DAYS]", Summary: "list secrets that need attention",
	Text: `Lists the secrets of all clients that are
  unused      not used for 90 days, or never since they were made that long ago
  expiring    valid for 14 more days at most
  old-in-use  used after a newer secret of the client was made: a deployment has
              not got the new one
  imported    chosen by a person, not generated: rotate them
The exit status is 2 if there are any. The JSON is {"secrets": [{"client_id",
"secret_id", "label", "reasons": […], "created_at", "expires_at", "last_used_at"}]}.`,
	Example: "clients stale-secrets -unused 30 -expiring 7",
	Setup: func(flags *flag.FlagSet) Action {
		unused := flags.Int("unused", 90, "unused for so many `DAYS`")
		expiring := flags.Int("expiring", 14, "expires within so many `DAYS`")
		return func(ctx context.Context, s *Session, _ []string) error {
			if min(*unused, *expiring) < 1 || max(*unused, *expiring) > maxDays {
				return fmt.Errorf("-unused and -expiring: write 1 day or more, and %d at most; see: clients help stale-secrets", maxDays)
			}
			clients, err := all(ctx, s)
			if err != nil {
				return err
			}
			found := []staleSecret{}
			for n := range clients {
				found = append(found, stale(&clients[n], time.Now(), days(*unused), days(*expiring))...)
			}
			return s.showStale(found)
		}
	},
}

const maxDays = 36500 // a time.Duration holds 292 years

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

type staleSecret struct {
	ClientID   string    `json:"client_id"`
	SecretID   string    `json:"secret_id"`
	Label      string    `json:"label,omitempty"`
	Reasons    []string  `json:"reasons"`
	CreatedAt  time.Time `json:"created_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// late is how late the time of a use may be written.
const late = time.Minute

// stale returns the secrets of a client that need attention.
func stale(c *registry.Client, now time.Time, unused, expiring time.Duration) (found []staleSecret) {
	var newest time.Time
	for _, s := range c.Secrets {
		if s.CreatedAt.After(newest) {
			newest = s.CreatedAt
		}
	}
	for n := range c.Secrets {
		s := &c.Secrets[n]
		var reasons []string
		since := s.LastUsedAt
		if since.Before(s.CreatedAt) {
			since = s.CreatedAt
		}
		if now.Sub(since) > unused {
			reasons = append(reasons, "unused")
		}
		if !s.ExpiresAt.IsZero() && s.ExpiresAt.Sub(now) <= expiring {
			reasons = append(reasons, "expiring")
		}
		if s.CreatedAt.Before(newest) && s.LastUsedAt.After(newest.Add(late)) {
			reasons = append(reasons, "old-in-use")
		}
		if !s.Generated() {
			reasons = append(reasons, "imported")
		}
		if len(reasons) > 0 {
			found = append(found, staleSecret{c.ID, s.ID, s.Label, reasons, s.CreatedAt, s.ExpiresAt, s.LastUsedAt})
		}
	}
	return found
}

func (s *Session) showStale(found []staleSecret) error {
	var err error
	switch {
	case s.JSON:
		err = s.answer(map[string]any{"secrets": found})
	case len(found) == 0:
		_, err = fmt.Fprintf(s.Out, "%s: no secret is stale\n", s.Place)
	default:
		w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "CLIENT\tSECRET\tLABEL\tREASON\tCREATED\tEXPIRES\t"+lastUsed)
		for _, f := range found {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.ClientID, dash(f.SecretID), dash(f.Label), strings.Join(f.Reasons, " "),
				when(f.CreatedAt, "-"), when(f.ExpiresAt, "never"), when(f.LastUsedAt, "never"))
		}
		err = w.Flush()
	}
	if err == nil && len(found) > 0 {
		err = errChanges
	}
	return err
}
