// Command clients manages the clients of an issuer in its storage, which is
// found as ./example finds it: DATABASE_URL, else DATA_DIR.
//
//	go run ./example/clients help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"time"

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
  clients remove-secret ID SECRET [-revoke]
                                     SECRET is as show prints it, or the secret
                                     itself; with -revoke the tokens that the
                                     client got with it are revoked
  clients disable ID                 and revoke its tokens
  clients enable ID
  clients revoke ID | -all           every token the client has, or all clients;
                                     they can get new ones
  clients delete ID                  and revoke its tokens

  clients migrate                    bring the tables up to date, or make them
  ISSUER=URL clients reseal          seal the signing keys with the first key of
                                     KEY_ENCRYPTION_KEY; URL is what the issuer
                                     prints at start
  ISSUER=URL clients adopt-keys      put the keys' timetable right by this machine's
                                     clock, after a wrong clock wrote it

The storage is DATABASE_URL (with ISSUER_NAME), or DATA_DIR (default ./data).
All verbs but migrate want it to be there and up to date. Every change says
where it was made. A database that does not answer within 10 s is an error.

Running issuers follow every change within 2 s: until then they may refuse a new
secret and take an old one. One that cannot read the storage refuses all tokens
after a minute. A token granted in those 2 s is refused too: a client that runs
on then asks for another. When a secret was last used is written up to a minute
late, so "never" may be a minute old.

A client with metadata, or with an authentication method, is made by the admin
API or by CLIENTS. The first client of the admin API of ./example is made here:

  clients add operator -scope clients:admin -audience http://127.0.0.1:8080/v1
`

const (
	answerTimeout  = 10 * time.Second // of a connection, and of a verb
	migrateTimeout = 10 * time.Minute
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		log.SetFlags(0)
		log.Fatal("clients: ", err)
	}
}

// tool manages the clients of one storage.
type tool struct {
	store registry.Manager
	place string // where the storage is
	out   io.Writer
}

// say reports a change, and where it was made.
func (t tool) say(format string, args ...any) error {
	_, err := fmt.Fprintf(t.out, t.place+": "+format+"\n", args...)
	return err
}

var verbs = map[string]func(tool, context.Context, []string) error{
	"list": tool.list, "add": tool.add, "show": tool.show, "rotate-secret": tool.rotateSecret, "remove-secret": tool.removeSecret,
	"disable": tool.disable, "enable": tool.enable, "revoke": tool.revoke, "delete": tool.remove,
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || args[0] == "help" || slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "-help" || a == "--help" }) {
		_, err := fmt.Fprint(out, help)
		return err
	}
	operations := map[string]func(context.Context, []string, io.Writer) error{"migrate": migrate, "reseal": reseal, "adopt-keys": adoptKeys}
	if operation, ok := operations[args[0]]; ok {
		return operation(ctx, args[1:], out)
	}
	verb, ok := verbs[args[0]]
	if !ok {
		return fmt.Errorf("there is no verb %q; see: clients help", args[0])
	}
	store, place, err := open(ctx, answerTimeout)
	if err != nil {
		return err
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(registry.AsOperator(ctx), answerTimeout)
	defer cancel()
	err = verb(tool{store, place, out}, ctx, args[1:])
	switch {
	case errors.Is(err, registry.ErrNotFound) && args[0] == "remove-secret":
		return fmt.Errorf("%s: there is no such client or secret", place)
	case errors.Is(err, registry.ErrNotFound):
		return fmt.Errorf("%s: there is no such client", place)
	case errors.Is(err, registry.ErrConflict):
		return fmt.Errorf("%s: the id is taken, or the client was changed by another call just now", place)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%s: no answer within %v; what was asked for may have been written, see: clients show: %w", place, answerTimeout, err)
	}
	return err
}

// parse reads flags and the arguments of those names, in any order.
func parse(flags *flag.FlagSet, args []string, names ...string) ([]string, error) {
	flags.SetOutput(io.Discard)
	var given []string
	for len(args) > 0 {
		if !strings.HasPrefix(args[0], "-") {
			given, args = append(given, args[0]), args[1:]
			continue
		}
		if err := flags.Parse(args); err != nil {
			return nil, fmt.Errorf("%w; see: clients help", err)
		}
		args = flags.Args()
	}
	if len(given) != len(names) || slices.Contains(given, "") {
		return nil, fmt.Errorf("name one %s; see: clients help", strings.Join(names, " and one "))
	}
	return given, nil
}

// parseID reads flags and one client id.
func parseID(flags *flag.FlagSet, args []string) (string, error) {
	given, err := parse(flags, args, "client id")
	if err != nil {
		return "", err
	}
	return given[0], nil
}
