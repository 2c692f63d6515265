// Package tool is the command line tool of ./example/clients: its verbs, over one
// interface, [Clients], that a store and the admin API implement. It links no
// database.
package tool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Timeout bounds each call of the storage, and of the admin API.
const Timeout = 10 * time.Second

// The exit statuses of a program.
const (
	Done    = 0
	Failed  = 1 // something was refused or could not be done; stderr says what
	Changes = 2 // plan: the clients differ from the file; stale-secrets: there are some
)

// errChanges ends a verb with the status Changes. It is not printed.
var errChanges = errors.New("there are changes")

// Storage is where clients are kept.
type Storage struct {
	Clients
	Place string // shown with every change
	Close func() error
}

// Program is the tool. Open is required.
type Program struct {
	// Open opens the database that the environment names.
	Open func(ctx context.Context) (Storage, error)

	// Verbs are verbs beside those of this package.
	Verbs []Verb

	In       io.Reader // default os.Stdin
	Out, Err io.Writer // default os.Stdout and os.Stderr

	// Getenv reads the environment. Default os.Getenv.
	Getenv func(string) string
}

// Run does what the arguments ask, and returns the exit status.
func (p Program) Run(ctx context.Context, args []string) (status int) {
	if p.In == nil {
		p.In = os.Stdin
	}
	if p.Out == nil {
		p.Out = os.Stdout
	}
	if p.Err == nil {
		p.Err = os.Stderr
	}
	if p.Getenv == nil {
		p.Getenv = os.Getenv
	}
	switch err := p.run(ctx, args); {
	case errors.Is(err, errChanges):
		return Changes
	case err != nil:
		fmt.Fprintln(p.Err, "clients:", err)
		return Failed
	}
	return Done
}

func (p Program) run(ctx context.Context, args []string) error {
	all := append(slices.Clone(verbs()), p.Verbs...)
	if len(args) == 0 || isHelp(args[0]) {
		return writeHelp(p.Out, all, args[min(1, len(args)):])
	}
	n := slices.IndexFunc(all, func(v Verb) bool { return v.Name == args[0] })
	if n < 0 {
		return fmt.Errorf("there is no verb %q; see: clients help", args[0])
	}
	verb := all[n]
	options := args[1:]
	if end := slices.Index(options, "--"); end >= 0 {
		options = options[:end]
	}
	if slices.ContainsFunc(options, isHelpFlag) {
		return writeHelp(p.Out, all, args[:1])
	}
	s := &Session{In: p.In, Out: p.Out, Err: p.Err, Getenv: p.Getenv}
	flags, api, do := verb.flags(s)
	flags.VisitAll(once)
	given, err := parse(flags, verb, args[1:])
	if err != nil {
		return err
	}
	if verb.NoStorage {
		return do(ctx, s, given)
	}
	storage, err := p.open(ctx, *api)
	if err != nil {
		return err
	}
	defer func() { _ = storage.Close() }()
	s.Clients, s.Place = bounded{storage.Clients, storage.Place}, storage.Place
	return explain(do(registry.AsOperator(ctx), s, given), s.Place, verb.Name)
}

// open opens the admin API, if one is named, or else the database.
func (p Program) open(ctx context.Context, api string) (Storage, error) {
	url := p.Getenv("ADMIN_URL")
	switch {
	case api != "":
		return openAPI(ctx, api, p.Getenv)
	case url == "":
		return p.Open(ctx)
	case p.Getenv("DATABASE_URL") != "":
		return Storage{}, errors.New("ADMIN_URL and DATABASE_URL are both set: leave one of them out, or write -api URL")
	}
	return openAPI(ctx, url, p.Getenv)
}

// explain says in the words of the tool what a storage has refused.
func explain(err error, place, verb string) error {
	switch {
	case errors.Is(err, registry.ErrNotFound) && verb == "remove-secret":
		return fmt.Errorf("%s: there is no such client or secret", place)
	case errors.Is(err, registry.ErrNotFound):
		return fmt.Errorf("%s: there is no such client", place)
	case errors.Is(err, registry.ErrConflict):
		return fmt.Errorf("%s: the client was changed by another call just now: see clients show, and try again", place)
	}
	return err
}

func isHelp(arg string) bool { return arg == "help" || isHelpFlag(arg) }

func isHelpFlag(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

// parse reads flags and the arguments of a verb, in any order. All behind -- are
// arguments.
func parse(flags *flag.FlagSet, verb Verb, args []string) (given []string, err error) {
	var rest []string
	if end := slices.Index(args, "--"); end >= 0 {
		args, rest = args[:end], args[end+1:]
	}
	for len(args) > 0 {
		if !strings.HasPrefix(args[0], "-") || args[0] == "-" {
			given, args = append(given, args[0]), args[1:]
			continue
		}
		if err := flags.Parse(args); err != nil {
			return nil, fmt.Errorf("%w; see: clients help %s", err, verb.Name)
		}
		args = flags.Args()
	}
	given = append(given, rest...)
	switch {
	case verb.Optional && len(given) <= len(verb.Takes) && !slices.Contains(given, ""):
		return given, nil
	case len(verb.Takes) == 0 && len(given) > 0:
		return nil, fmt.Errorf("%s takes no id and no other argument%s; see: clients help %[1]s", verb.Name, verb.Hint)
	case len(given) != len(verb.Takes) || slices.Contains(given, ""):
		return nil, fmt.Errorf("name one %s; see: clients help %s", strings.Join(verb.Takes, " and one "), verb.Name)
	}
	return given, nil
}
