package tool

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// lastUsed heads a column. Issuers write that time in batches.
const lastUsed = "LAST USED (a minute late)"

var listVerb = Verb{
	Group: groupClients, Name: "list", Args: "[-search TEXT] [-after ID] [-limit N]", Summary: "list clients, in order of their ids",
	Hint: ": write -search TEXT",
	Text: `Lists one page of clients: 50, or -limit up to 500. The next page is -after the last
id. With -json: {"clients": […]}, each as show prints it.`,
	Example: "clients list -search bill\nclients list -json -limit 500",
	Setup: func(flags *flag.FlagSet) Action {
		var q registry.Query
		flags.StringVar(&q.Search, "search", "", "only those with `TEXT` in the id or the name")
		flags.StringVar(&q.After, "after", "", "only those with ids after `ID`")
		flags.IntVar(&q.Limit, "limit", 0, "at most `N`; 50 if left out, at most 500")
		return func(ctx context.Context, s *Session, _ []string) error {
			clients, err := s.List(ctx, q)
			if err != nil {
				return err
			}
			if s.JSON {
				records := make([]record, 0, len(clients))
				for n := range clients {
					records = append(records, recordOf(&clients[n]))
				}
				return s.answer(map[string]any{"clients": records})
			}
			return table(s, clients)
		}
	},
}

func table(s *Session, clients []registry.Client) error {
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tSCOPE\tAUDIENCES\tSECRETS\t"+lastUsed)
	for _, c := range clients {
		state := "active"
		if c.Disabled {
			state = "disabled"
		}
		var used time.Time
		for _, secret := range c.Secrets {
			if secret.LastUsedAt.After(used) {
				used = secret.LastUsedAt
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", c.ID, dash(c.Name), state, dash(strings.Join(c.Scopes, " ")),
			dash(strings.Join(c.Audiences, " ")), len(c.Secrets), when(used, "never"))
	}
	return w.Flush()
}

var showVerb = Verb{
	Group: groupClients, Name: "show", Args: "ID", Summary: "show a client and when its secrets were last used",
	Takes: []string{"client id"}, Example: "clients show billing\nclients show billing -json",
	Text: `Shows all of a client but the hashes of its secrets. With -json it has the form of
the admin API. When a secret was last used is written up to a minute late, so
"never" may be a minute old.`,
	Setup: func(*flag.FlagSet) Action {
		return func(ctx context.Context, s *Session, args []string) error {
			c, err := s.Client(ctx, args[0])
			if err != nil {
				return err
			}
			if s.JSON {
				return s.answer(recordOf(c))
			}
			return describe(s, c)
		}
	},
}

func describe(s *Session, c *registry.Client) error {
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	for _, line := range [][2]string{
		{"id", c.ID}, {"name", dash(c.Name)}, {"disabled", fmt.Sprint(c.Disabled)}, {"scope", dash(strings.Join(c.Scopes, " "))},
		{"audiences", dash(strings.Join(c.Audiences, " "))}, {"default audience", dash(c.DefaultAudience)},
		{"introspects", dash(strings.Join(c.Introspects, " "))}, {"token ttl", lifetime(c.TokenTTL)}, {"auth method", cmp.Or(c.AuthMethod, "any")},
		{"keys", dash(canonical(c.JWKS))}, {"keys' URL", dash(c.JWKSURI)}, {"certificate", dash(certificate(c))}, {"workloads", dash(workloads(c.Workloads))},
		{"tokens bound by", bound(c)},
		{"metadata", metadata(c.Metadata)}, {"version", fmt.Sprint(c.Version)},
		{"created", when(c.CreatedAt, "-")}, {"updated", when(c.UpdatedAt, "-")},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	fmt.Fprintln(w, "\nSECRET\tLABEL\tCREATED\tEXPIRES\t"+lastUsed)
	for _, secret := range c.Secrets {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", dash(secret.ID), dash(secret.Label), when(secret.CreatedAt, "-"), when(secret.ExpiresAt, "never"), when(secret.LastUsedAt, "never"))
	}
	return w.Flush()
}

// certificate says which certificate is the client's.
func certificate(c *registry.Client) string {
	for _, f := range [][2]string{
		{"subject", c.TLSClientAuthSubjectDN}, {"DNS", c.TLSClientAuthSANDNS}, {"URI", c.TLSClientAuthSANURI}, {"IP", c.TLSClientAuthSANIP}, {"email", c.TLSClientAuthSANEmail},
	} {
		if f[1] != "" {
			return f[0] + " " + f[1]
		}
	}
	return ""
}

// bound says to what the tokens of the client are bound.
func bound(c *registry.Client) string {
	switch {
	case c.DPoPBoundTokens && c.CertificateBoundTokens:
		return "DPoP and certificate"
	case c.DPoPBoundTokens:
		return "DPoP"
	case c.CertificateBoundTokens:
		return "certificate"
	}
	return "nothing"
}

// dash prints a text that a person chose: quoted if a terminal would take some of it
// for more than text.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// metadata prints the entries in the order of their keys.
func metadata(m map[string]string) string {
	entries := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		entries = append(entries, dash(key)+"="+dash(m[key]))
	}
	return dash(strings.Join(entries, " "))
}

func lifetime(d time.Duration) string {
	if d == 0 {
		return "the issuer's"
	}
	return d.String()
}

func when(t time.Time, zero string) string {
	if t.IsZero() {
		return zero
	}
	return t.Local().Format("2006-01-02 15:04")
}
