package tool

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

var rotateVerb = Verb{
	Group: groupSecrets, Name: "rotate-secret", Args: "ID [-overlap 24h] [-label TEXT] | ID -revoke", Summary: "generate another secret, shown once",
	Takes: []string{"client id"},
	Text: `Generates another secret. The others end after -overlap. After a theft write -revoke:
the others end now, and every token that the client has is revoked.`,
	Example: "clients rotate-secret billing -overlap 72h -label 2027\nclients rotate-secret billing -revoke",
	Setup: func(flags *flag.FlagSet) Action {
		overlap := flags.Duration("overlap", 24*time.Hour, "how long the other secrets stay valid: `DURATION`")
		label := flags.String("label", "", "`TEXT` for people")
		revoke := flags.Bool("revoke", false, "the others end now, and all tokens are revoked")
		return func(ctx context.Context, s *Session, args []string) (err error) {
			if *revoke {
				flags.Visit(func(f *flag.Flag) {
					if f.Name == "overlap" && *overlap != 0 {
						err = errors.New("-revoke ends the other secrets now: leave -overlap out; see: clients help rotate-secret")
					}
				})
				if err != nil {
					return err
				}
				*overlap = 0
			}
			return s.rotate(ctx, args[0], registry.Rotation{Overlap: *overlap, Label: *label, Revoke: *revoke})
		}
	},
}

func (s *Session) rotate(ctx context.Context, id string, r registry.Rotation) error {
	plain, err := s.RotateSecret(ctx, id, r)
	if err != nil {
		return err
	}
	others := fmt.Sprintf("the others end in %v", r.Overlap)
	switch {
	case r.Revoke:
		others = "the others are gone and its tokens are revoked"
	case r.Overlap == 0:
		others = "the others are gone; tokens got with them are still valid"
	}
	answer := done{ID: id, Secret: plain, Done: "secret rotated", Place: s.Place}
	answer.SecretID, _ = registry.SecretID(plain)
	return s.say(answer, "client %s has a new secret, shown this once; %s.\nRunning issuers follow within 2 s: until then they may refuse the new secret:\n%s", id, others, plain)
}

var removeSecretVerb = Verb{
	Group: groupSecrets, Name: "remove-secret", Args: "ID SECRET_ID [-revoke]", Summary: "remove one secret of a client",
	Takes: []string{"client id", "secret"},
	Text: `Removes one secret now. SECRET_ID is the id that show prints. Write - to have the
secret itself, which carries its id, read from the standard input. A secret as an
argument is visible to every user of this machine; it is taken, as it ends now.`,
	Example: "clients remove-secret billing w3nqjp6rsv5hbk2d -revoke\nclients remove-secret billing - <leaked-secret.txt",
	Setup: func(flags *flag.FlagSet) Action {
		revoke := flags.Bool("revoke", false, "revoke the tokens that the client got with it")
		return func(ctx context.Context, s *Session, args []string) error {
			id, secret := args[0], args[1]
			if secret == "-" {
				line, err := firstLine(s.In)
				if err != nil {
					return err
				}
				if _, ok := registry.SecretID(line); !ok {
					return errors.New("the standard input has no generated secret: write the id of the secret, as show prints it")
				}
				secret = line
			}
			if carried, ok := registry.SecretID(secret); ok {
				secret = carried
			}
			if err := s.RemoveSecret(ctx, id, secret, *revoke); err != nil {
				return err
			}
			tokens := "tokens got with it are still valid"
			if *revoke {
				tokens = "tokens got with it are revoked"
			}
			return s.say(done{ID: id, SecretID: secret, Done: "secret removed", Place: s.Place}, "secret %s of client %s is removed; %s", secret, id, tokens)
		}
	},
}

// firstLine reads one line, such as a secret.
func firstLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
