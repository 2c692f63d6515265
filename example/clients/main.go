// Command clients manages the clients of an issuer in its storage, which is
// found as ./example finds it: DATABASE_URL, else DATA_DIR.
//
//	go run ./example/clients help
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const help = `clients manages the clients of an issuer.

  clients list [-search TEXT] [-after ID] [-limit N]
  clients add ID [-name NAME] [-scope "SCOPE …"] -audience URI[,URI…]
              [-default-audience URI] [-ttl 15m] [-introspects URI[,URI…]]
  clients show ID
  clients rotate-secret ID [-overlap 24h] [-label TEXT]
  clients rotate-secret ID -revoke   after a theft: the other secrets end now,
                                     and every token the client has is revoked
  clients disable ID                 and revoke its tokens
  clients enable ID
  clients revoke ID | -all           every token the client has, or all clients;
                                     they can get new ones
  clients delete ID                  and revoke its tokens

  clients migrate                    bring the tables up to date, or make them
  clients reseal                     seal the signing keys with the first key of
                                     KEY_ENCRYPTION_KEY
  clients adopt-keys                 put the keys' timetable right by this machine's
                                     clock, after a wrong clock wrote it

The storage is DATABASE_URL (with ISSUER_NAME), or DATA_DIR (default ./data).
All verbs but migrate want it to be there and up to date. Running issuers follow
every change within 2 s; one that cannot read the storage refuses all tokens
after a minute. A token granted in those 2 s is refused too: a client that runs
on then asks for another.

A client with metadata, or with an authentication method, is made by the admin
API or by CLIENTS. The first client of the admin API of ./example is made here:

  clients add operator -scope clients:admin -audience http://127.0.0.1:8080/v1
`

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		cancel()
		log.SetFlags(0)
		log.Fatal("clients: ", err) //nolint:gocritic // cancel was called
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		_, err := fmt.Fprint(out, help)
		return err
	}
	verbs := map[string]func(context.Context, registry.Manager, []string, io.Writer) error{
		"list": list, "add": add, "show": show, "rotate-secret": rotateSecret,
		"disable": disable, "enable": enable, "revoke": revoke, "delete": remove,
	}
	operations := map[string]func(context.Context, []string, io.Writer) error{"migrate": migrate, "reseal": reseal, "adopt-keys": adoptKeys}
	if operation, ok := operations[args[0]]; ok {
		return operation(ctx, args[1:], out)
	}
	verb, ok := verbs[args[0]]
	if !ok {
		return fmt.Errorf("there is no verb %q; see: clients help", args[0])
	}
	store, err := open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	err = verb(ctx, store, args[1:], out)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return errors.New("there is no such client")
	case errors.Is(err, registry.ErrConflict):
		return errors.New("the id is taken, or somebody else changed the client in this moment")
	}
	return err
}

// parse reads flags, and the one id that stands before or behind them.
func parse(flags *flag.FlagSet, args []string) (id string, err error) {
	flags.SetOutput(io.Discard)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		id, args = args[0], args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return "", fmt.Errorf("%w; see: clients help", err)
	}
	rest := flags.Args()
	if id == "" && len(rest) > 0 {
		id, rest = rest[0], rest[1:]
	}
	if id == "" || len(rest) > 0 {
		return "", errors.New("name one client id; see: clients help")
	}
	return id, nil
}

func list(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
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
	clients, err := s.List(ctx, q)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tSCOPE\tAUDIENCES\tSECRETS\tLAST USED")
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

func show(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
	id, err := parse(flag.NewFlagSet("show", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	c, err := s.Client(ctx, id)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, line := range [][2]string{
		{"id", c.ID}, {"name", dash(c.Name)}, {"disabled", fmt.Sprint(c.Disabled)}, {"scope", dash(strings.Join(c.Scopes, " "))},
		{"audiences", dash(strings.Join(c.Audiences, " "))}, {"default audience", dash(c.DefaultAudience)},
		{"introspects", dash(strings.Join(c.Introspects, " "))}, {"token ttl", lifetime(c.TokenTTL)}, {"auth method", cmp.Or(c.AuthMethod, "any")},
		{"metadata", metadata(c.Metadata)}, {"version", fmt.Sprint(c.Version)},
		{"created", when(c.CreatedAt, "-")}, {"updated", when(c.UpdatedAt, "-")},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	fmt.Fprintln(w, "\nSECRET\tLABEL\tCREATED\tEXPIRES\tLAST USED")
	for _, secret := range c.Secrets {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", secret.ID, dash(secret.Label), when(secret.CreatedAt, "-"), when(secret.ExpiresAt, "never"), when(secret.LastUsedAt, "never"))
	}
	return w.Flush()
}

func add(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
	var c registry.Client
	var scope, audiences, introspects string
	flags := flag.NewFlagSet("add", flag.ContinueOnError)
	flags.StringVar(&c.Name, "name", "", "")
	flags.StringVar(&scope, "scope", "", "")
	flags.StringVar(&audiences, "audience", "", "")
	flags.StringVar(&c.DefaultAudience, "default-audience", "", "")
	flags.StringVar(&introspects, "introspects", "", "")
	flags.DurationVar(&c.TokenTTL, "ttl", 0, "")
	id, err := parse(flags, args)
	if err != nil {
		return err
	}
	plain, secret := registry.GenerateSecret()
	c.ID, c.Secrets = id, []registry.Secret{secret}
	c.Scopes, c.Audiences, c.Introspects = strings.Fields(scope), split(audiences), split(introspects)
	if len(c.Audiences) == 0 && len(c.Introspects) == 0 {
		return errors.New("name an -audience: without one the client gets no token; see: clients help")
	}
	if _, err := s.Register(ctx, c); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "client %s was added; its secret is shown this once:\n%s\n", id, plain)
	return err
}

func rotateSecret(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("rotate-secret", flag.ContinueOnError)
	overlap := flags.Duration("overlap", 24*time.Hour, "")
	label := flags.String("label", "", "")
	revoke := flags.Bool("revoke", false, "")
	id, err := parse(flags, args)
	if err != nil {
		return err
	}
	if *revoke {
		flags.Visit(func(f *flag.Flag) {
			if f.Name == "overlap" && *overlap != 0 {
				err = errors.New("-revoke ends the other secrets now: leave -overlap out; see: clients help")
			}
		})
		if err != nil {
			return err
		}
		*overlap = 0
	}
	plain, err := s.RotateSecret(ctx, id, registry.Rotation{Overlap: *overlap, Label: *label, Revoke: *revoke})
	if err != nil {
		return err
	}
	if *revoke {
		_, err = fmt.Fprintf(out, "client %s has a new secret, shown this once; the others are gone and its tokens are revoked:\n%s\n", id, plain)
		return err
	}
	_, err = fmt.Fprintf(out, "client %s has a new secret, shown this once; the others end in %v:\n%s\n", id, *overlap, plain)
	return err
}

func disable(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
	return setDisabled(ctx, s, args, out, true)
}

func enable(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
	return setDisabled(ctx, s, args, out, false)
}

func setDisabled(ctx context.Context, s registry.Manager, args []string, out io.Writer, disabled bool) error {
	id, err := parse(flag.NewFlagSet("disable", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	c, err := s.Client(ctx, id)
	if err != nil {
		return err
	}
	changed := *c
	changed.Disabled = disabled
	if _, err := s.Update(ctx, changed); err != nil {
		return err
	}
	if !disabled {
		_, err = fmt.Fprintf(out, "client %s is enabled\n", id)
		return err
	}
	_, err = fmt.Fprintf(out, "client %s is disabled, its tokens are revoked\n", id)
	return err
}

func revoke(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
	if len(args) == 1 && (args[0] == "-all" || args[0] == "--all") {
		if _, err := s.Revoke(ctx, registry.Change{Kind: registry.AllCutOff}); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "the tokens of all clients are revoked")
		return err
	}
	id, err := parse(flag.NewFlagSet("revoke", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	if _, err := s.Client(ctx, id); err != nil {
		return err
	}
	if _, err := s.Revoke(ctx, registry.CutOff(id)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the tokens of client %s are revoked\n", id)
	return err
}

func remove(ctx context.Context, s registry.Manager, args []string, out io.Writer) error {
	id, err := parse(flag.NewFlagSet("delete", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	if err := s.Delete(ctx, id); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "client %s is deleted, its tokens are revoked\n", id)
	return err
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
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
