package tool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

var addVerb = Verb{
	Group: groupClients, Name: "add", Args: "ID -audience URI[,URI…] [-scope \"SCOPE …\"]", Summary: "add a client; its secret is shown once",
	Takes: []string{"client id"},
	Text: `Adds a client with a generated secret. A client with keys, a certificate or a
workload gets none, unless -auth-method names a secret. Without an audience the client
gets no token; one that only introspects needs -introspects instead.`,
	Example: `clients add billing -scope "orders:read orders:write" -audience https://api.example.com
clients add operator -scope clients:admin -audience http://127.0.0.1:8080/v1   # for the admin API of ./example
clients add reports -audience https://api.example.com -jwks reports.jwks.json -auth-method private_key_jwt
clients add shipping -audience https://api.example.com -workload "https://kubernetes.default.svc system:serviceaccount:shop:shipping https://auth.example.com"`,
	Setup: func(flags *flag.FlagSet) Action {
		given := addFields(flags)
		return func(ctx context.Context, s *Session, args []string) error {
			c := registry.Client{ID: args[0]}
			given.apply(&c)
			plain := ""
			if c.UsesSecret() {
				var secret registry.Secret
				plain, secret = registry.GenerateSecret()
				c.Secrets = []registry.Secret{secret}
			}
			if len(c.Audiences) == 0 && len(c.Introspects) == 0 {
				return errors.New("name an -audience: without one the client gets no token; see: clients help add")
			}
			stored, err := s.Register(ctx, c)
			if errors.Is(err, registry.ErrConflict) {
				return fmt.Errorf("%s: the id is taken, see: clients show %s", s.Place, c.ID)
			}
			if err != nil {
				return err
			}
			s.warn("clients: "+c.ID, &c)
			answer := recordOf(&stored)
			answer.Secret = plain
			if plain == "" {
				return s.say(answer, "client %s was added; it has no secret", c.ID)
			}
			return s.say(answer, "client %s was added; its secret is shown this once:\n%s", c.ID, plain)
		}
	},
}

var setVerb = Verb{
	Group: groupClients, Name: "set", Args: "ID [-name NAME] [-scope …] [-audience …] [-clear FIELD[,FIELD…]] …", Summary: "change fields of a client",
	Takes: []string{"client id"},
	Text: `Changes the fields that are named and leaves the others as they are. A list, such as
-scope, replaces the whole list. -metadata changes one entry. -clear empties fields:
name, scope, audience, default-audience, introspects, auth-method, ttl, disabled,
jwks, jwks-uri, tls-subject-dn, tls-san-dns, tls-san-uri, tls-san-ip, tls-san-email,
workload, dpop-bound, certificate-bound, metadata, or metadata.KEY for one entry.

-jwks replaces the keys. Tokens that the client got with a key that is gone stay valid:
clients revoke ends them.

If the client is changed by another call at the same time, one of both is refused.`,
	Example: `clients set billing -scope "orders:read invoices:read" -ttl 5m -metadata tenant=acme
clients set billing -clear ttl,metadata.tenant
clients set billing -jwks billing.jwks.json                    # beside its secret, for the move
clients set billing -auth-method private_key_jwt -dpop-bound   # from now on the keys alone`,
	Setup: func(flags *flag.FlagSet) Action {
		given := addFields(flags)
		var emptied string
		flags.StringVar(&emptied, "clear", "", "empty these `FIELDS`, with commas between them")
		return func(ctx context.Context, s *Session, args []string) error {
			stored, err := s.Client(ctx, args[0])
			if err != nil {
				return err
			}
			c := stored.Clone()
			if err := clearFields(c, split(emptied)); err != nil {
				return err
			}
			if !given.apply(c) {
				return errors.New("name a field to change, such as -scope; see: clients help set")
			}
			return s.update(ctx, stored, c)
		}
	},
}

// update writes what has changed of a client.
func (s *Session) update(ctx context.Context, stored, changed *registry.Client) error {
	changes := differences(stored, changed)
	if len(changes) == 0 {
		return s.say(recordOf(stored), "client %s has these values already", stored.ID)
	}
	now, err := s.Update(ctx, *changed)
	if err != nil {
		return err
	}
	if changesAudiences(changes) {
		s.warn("clients: "+now.ID, &now)
	}
	lines := []string{"client " + stored.ID + " is changed:"}
	for _, change := range changes {
		lines = append(lines, "  "+change.String())
	}
	if now.Disabled && !stored.Disabled {
		lines = append(lines, "its tokens are revoked")
	}
	return s.say(recordOf(&now), "%s", strings.Join(lines, "\n"))
}

var disableVerb = Verb{
	Group: groupClients, Name: "disable", Args: "ID", Summary: "it gets no tokens; those it has are revoked",
	Takes: []string{"client id"}, Example: "clients disable billing", Setup: setDisabled(true),
	Text: "Stops a client. Its record and its secrets stay.",
}

var enableVerb = Verb{
	Group: groupClients, Name: "enable", Args: "ID", Summary: "it gets tokens again",
	Takes: []string{"client id"}, Example: "clients enable billing", Setup: setDisabled(false),
	Text: "Takes disable back. Tokens that were revoked stay revoked.",
}

func setDisabled(disabled bool) func(*flag.FlagSet) Action {
	return func(*flag.FlagSet) Action {
		return func(ctx context.Context, s *Session, args []string) error {
			c, err := s.Client(ctx, args[0])
			if err != nil {
				return err
			}
			changed := c.Clone()
			changed.Disabled = disabled
			if _, err := s.Update(ctx, *changed); err != nil {
				return err
			}
			if !disabled {
				return s.say(done{ID: c.ID, Done: "enabled", Place: s.Place}, "client %s is enabled", c.ID)
			}
			return s.say(done{ID: c.ID, Done: "disabled", Place: s.Place}, "client %s is disabled, its tokens are revoked", c.ID)
		}
	}
}

var deleteVerb = Verb{
	Group: groupClients, Name: "delete", Args: "ID", Summary: "delete a client and revoke its tokens",
	Takes: []string{"client id"}, Example: "clients delete billing",
	Text: "Deletes a client and its secrets, and revokes its tokens. Adding the id again does not\nmake them valid.",
	Setup: func(*flag.FlagSet) Action {
		return func(ctx context.Context, s *Session, args []string) error {
			if err := s.Delete(ctx, args[0]); err != nil {
				return err
			}
			return s.say(done{ID: args[0], Done: "deleted", Place: s.Place}, "client %s is deleted, its tokens are revoked", args[0])
		}
	},
}

var revokeVerb = Verb{
	Group: groupClients, Name: "revoke", Args: "ID | -all", Summary: "revoke every token of a client, or of all clients",
	Takes: []string{"client id"}, Optional: true, Example: "clients revoke billing\nclients revoke -all",
	Text: `Revokes every token that a client has, or with -all every client. They can get new
ones: to stop a client, disable it. Through the admin API, -all ends the token of
the tool too.`,
	Setup: func(flags *flag.FlagSet) Action {
		everyone := flags.Bool("all", false, "the tokens of all clients")
		return func(ctx context.Context, s *Session, args []string) error {
			if *everyone == (len(args) == 1) {
				return errors.New("name one client id, or -all; see: clients help revoke")
			}
			if *everyone {
				if _, err := s.Revoke(ctx, registry.Change{Kind: registry.AllCutOff}); err != nil {
					return err
				}
				return s.say(done{Done: "all tokens revoked", Place: s.Place}, "the tokens of all clients are revoked")
			}
			id := args[0]
			if _, err := s.Client(ctx, id); err != nil {
				return fmt.Errorf("revoking the tokens of %s: %w", id, err)
			}
			if _, err := s.Revoke(ctx, registry.CutOff(id)); err != nil {
				return err
			}
			return s.say(done{ID: id, Done: "tokens revoked", Place: s.Place}, "the tokens of client %s are revoked", id)
		}
	},
}
