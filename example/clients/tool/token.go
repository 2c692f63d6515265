package tool

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
)

var tokenVerb = Verb{
	Group: groupDevelop, Name: "token", Args: "ID [-decode] [-scope …] [-resource URI]", Summary: "get an access token of a client from the issuer",
	Takes: []string{"client id"}, NoStorage: true,
	Text: `Asks the token endpoint of ISSUER, or -issuer, and prints the access token. The secret
is that of the client in a file of -secrets, or the first line of -secret-file (- is
the standard input), or CLIENT_SECRET if CLIENT_ID is this client or is not set.

-decode prints the claims instead. It does not check the signature. With -json:
{"access_token", "token_type", "expires_in", "scope"}, and "claims" with -decode.`,
	Example: `export ISSUER=http://127.0.0.1:8080
TOKEN=$(clients token billing -secrets secrets.csv)
CLIENT_SECRET=$SECRET clients token billing -decode`,
	Setup: func(flags *flag.FlagSet) Action {
		var g grant
		var secrets, secretFile string
		flags.StringVar(&g.issuer, "issuer", "", "the `URL` of the issuer; ISSUER if left out")
		flags.StringVar(&secrets, "secrets", "", "a `FILE` that apply or import has written")
		flags.StringVar(&secretFile, "secret-file", "", "a `FILE` with the secret alone")
		flags.StringVar(&g.scope, "scope", "", "the `SCOPES` to ask for; all if left out")
		flags.Var(repeated(func(uri string) error { g.resources = append(g.resources, uri); return nil }), "resource", "the `URI` of an API; may be repeated")
		flags.BoolVar(&g.post, "post", false, "send the secret in the body: client_secret_post")
		decode := flags.Bool("decode", false, "print the claims")
		return func(ctx context.Context, s *Session, args []string) (err error) {
			g.id = args[0]
			if g.issuer == "" {
				g.issuer = s.Getenv("ISSUER")
			}
			if g.issuer == "" {
				return errors.New("ISSUER is not set: write the URL that the issuer prints at start, or -issuer URL")
			}
			if g.secret, err = s.secretFor(g.id, secrets, secretFile); err != nil {
				return err
			}
			answer, err := g.ask(ctx)
			if err != nil {
				return err
			}
			return s.showToken(answer, *decode)
		}
	},
}

// secretFor finds the secret of the client.
func (s *Session) secretFor(id, secrets, secretFile string) (secret string, err error) {
	switch {
	case secrets != "" && secretFile != "":
		return "", errors.New("-secrets and -secret-file are both set: write one of them")
	case secrets != "":
		return secretOf(secrets, id)
	case secretFile != "":
		file, opened := s.input(secretFile)
		if opened != nil {
			return "", opened
		}
		defer file.Close()
		secret, err = firstLine(file)
	default:
		if owner := s.Getenv("CLIENT_ID"); owner == "" || owner == id {
			secret = s.Getenv("CLIENT_SECRET")
		}
	}
	if err == nil && secret == "" {
		err = fmt.Errorf("there is no secret of %q: write -secrets FILE, -secret-file FILE, or set CLIENT_SECRET", id)
	}
	return secret, err
}

func (s *Session) showToken(answer granted, decode bool) error {
	var claims json.RawMessage
	if decode {
		var err error
		if claims, err = claimsOf(answer.Token); err != nil {
			return err
		}
	}
	switch {
	case s.JSON:
		return s.answer(struct {
			granted
			Claims json.RawMessage `json:"claims,omitempty"`
		}{answer, claims})
	case decode:
		return s.answer(claims)
	}
	_, err := fmt.Fprintln(s.Out, answer.Token)
	return err
}
