package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

func (t tool) add(ctx context.Context, args []string) error {
	var c registry.Client
	var scope, audiences, introspects string
	flags := flag.NewFlagSet("add", flag.ContinueOnError)
	flags.StringVar(&c.Name, "name", "", "")
	flags.StringVar(&scope, "scope", "", "")
	flags.StringVar(&audiences, "audience", "", "")
	flags.StringVar(&c.DefaultAudience, "default-audience", "", "")
	flags.StringVar(&introspects, "introspects", "", "")
	flags.DurationVar(&c.TokenTTL, "ttl", 0, "")
	id, err := parseID(flags, args)
	if err != nil {
		return err
	}
	plain, secret := registry.GenerateSecret()
	c.ID, c.Secrets = id, []registry.Secret{secret}
	c.Scopes, c.Audiences, c.Introspects = strings.Fields(scope), split(audiences), split(introspects)
	if len(c.Audiences) == 0 && len(c.Introspects) == 0 {
		return errors.New("name an -audience: without one the client gets no token; see: clients help")
	}
	if _, err := t.store.Register(ctx, c); err != nil {
		return err
	}
	return t.say("client %s was added; its secret is shown this once:\n%s", id, plain)
}

func (t tool) rotateSecret(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("rotate-secret", flag.ContinueOnError)
	overlap := flags.Duration("overlap", 24*time.Hour, "")
	label := flags.String("label", "", "")
	revoke := flags.Bool("revoke", false, "")
	id, err := parseID(flags, args)
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
	plain, err := t.store.RotateSecret(ctx, id, registry.Rotation{Overlap: *overlap, Label: *label, Revoke: *revoke})
	if err != nil {
		return err
	}
	others := fmt.Sprintf("the others end in %v", *overlap)
	switch {
	case *revoke:
		others = "the others are gone and its tokens are revoked"
	case *overlap == 0:
		others = "the others are gone; tokens got with them are still valid"
	}
	return t.say("client %s has a new secret, shown this once; %s.\nRunning issuers follow within 2 s: until then they may refuse the new secret:\n%s", id, others, plain)
}

func (t tool) removeSecret(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("remove-secret", flag.ContinueOnError)
	revoke := flags.Bool("revoke", false, "")
	given, err := parse(flags, args, "client id", "secret")
	if err != nil {
		return err
	}
	id, secret := given[0], given[1]
	if carried, ok := registry.SecretID(secret); ok {
		secret = carried
	}
	if err := t.store.RemoveSecret(ctx, id, secret, *revoke); err != nil {
		return err
	}
	tokens := "tokens got with it are still valid"
	if *revoke {
		tokens = "tokens got with it are revoked"
	}
	return t.say("secret %s of client %s is removed; %s", secret, id, tokens)
}

func (t tool) disable(ctx context.Context, args []string) error {
	return t.setDisabled(ctx, args, true)
}

func (t tool) enable(ctx context.Context, args []string) error {
	return t.setDisabled(ctx, args, false)
}

func (t tool) setDisabled(ctx context.Context, args []string, disabled bool) error {
	id, err := parseID(flag.NewFlagSet("disable", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	c, err := t.store.Client(ctx, id)
	if err != nil {
		return err
	}
	changed := *c
	changed.Disabled = disabled
	if _, err := t.store.Update(ctx, changed); err != nil {
		return err
	}
	if !disabled {
		return t.say("client %s is enabled", id)
	}
	return t.say("client %s is disabled, its tokens are revoked", id)
}

func (t tool) revoke(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("revoke", flag.ContinueOnError)
	all := flags.Bool("all", false, "")
	if len(args) == 1 && flags.Parse(args) == nil && *all {
		if _, err := t.store.Revoke(ctx, registry.Change{Kind: registry.AllCutOff}); err != nil {
			return err
		}
		return t.say("the tokens of all clients are revoked")
	}
	id, err := parseID(flags, args)
	if err != nil || *all {
		return errors.New("name one client id, or -all; see: clients help")
	}
	if _, err := t.store.Client(ctx, id); err != nil {
		return err
	}
	if _, err := t.store.Revoke(ctx, registry.CutOff(id)); err != nil {
		return err
	}
	return t.say("the tokens of client %s are revoked", id)
}

func (t tool) remove(ctx context.Context, args []string) error {
	id, err := parseID(flag.NewFlagSet("delete", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	if err := t.store.Delete(ctx, id); err != nil {
		return err
	}
	return t.say("client %s is deleted, its tokens are revoked", id)
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
