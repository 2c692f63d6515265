package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
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

func (t tool) list(ctx context.Context, args []string) error {
	var q registry.Query
	flags := flag.NewFlagSet("list", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&q.Search, "search", "", "")
	flags.StringVar(&q.After, "after", "", "")
	flags.IntVar(&q.Limit, "limit", 0, "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w; see: clients help", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("list takes no id: write -search %q; see: clients help", flags.Arg(0))
	}
	clients, err := t.store.List(ctx, q)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
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

func (t tool) show(ctx context.Context, args []string) error {
	id, err := parseID(flag.NewFlagSet("show", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	c, err := t.store.Client(ctx, id)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
	for _, line := range [][2]string{
		{"id", c.ID}, {"name", dash(c.Name)}, {"disabled", fmt.Sprint(c.Disabled)}, {"scope", dash(strings.Join(c.Scopes, " "))},
		{"audiences", dash(strings.Join(c.Audiences, " "))}, {"default audience", dash(c.DefaultAudience)},
		{"introspects", dash(strings.Join(c.Introspects, " "))}, {"token ttl", lifetime(c.TokenTTL)}, {"auth method", cmp.Or(c.AuthMethod, "any")},
		{"metadata", metadata(c.Metadata)}, {"version", fmt.Sprint(c.Version)},
		{"created", when(c.CreatedAt, "-")}, {"updated", when(c.UpdatedAt, "-")},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	fmt.Fprintln(w, "\nSECRET\tLABEL\tCREATED\tEXPIRES\t"+lastUsed)
	for _, secret := range c.Secrets {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", secret.ID, dash(secret.Label), when(secret.CreatedAt, "-"), when(secret.ExpiresAt, "never"), when(secret.LastUsedAt, "never"))
	}
	return w.Flush()
}

// dash prints a text that somebody chose: quoted if a terminal would take some of
// it for more than text.
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
