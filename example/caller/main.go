// Command caller is a program that calls an API with tokens, and goes on while the issuer
// restarts, rotates its keys, revokes tokens and gets new secrets for its clients.
//
//	go run ./example                                                       # in one terminal; prints an id and a secret
//	CLIENT_ID=demo CLIENT_SECRET=m2m_… EVERY=1s go run ./example/caller    # in another
//
// It prints what it does. At the end, after FOR or Ctrl-C, it prints its counts as one line
// of JSON. The exit status is 1 if a call failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

const issuer = "http://127.0.0.1:8080" // unless ISSUER says otherwise

func main() {
	failed, err := run(os.Args[1:], os.Stdout)
	switch {
	case err != nil:
		log.Fatal("caller: ", err)
	case failed:
		os.Exit(1)
	}
}

// run calls the API until FOR is over or Ctrl-C. It reports whether a call failed.
func run(args []string, out io.Writer) (failed bool, err error) {
	if helped, err := service.CallerHelp(args, out); helped || err != nil {
		return false, err
	}
	set, err := service.LoadCaller(issuer)
	if err != nil {
		return false, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &diary{out: out}
	source, err := newSource(set, d.event)
	if err != nil {
		return false, err
	}
	c := &caller{api: set.API, client: source.Client(), diary: d}
	c.client.Timeout = requestTimeout
	d.sayf("calling %s every %v, with tokens of %s for %s", set.API, set.Every, set.Issuer, set.ClientID)
	var end time.Time
	if set.For > 0 {
		end = time.Now().Add(set.For)
	}
	c.run(ctx, set.Every, end)
	err = source.Close()
	status := source.Status()
	c.counts.TokenRequests, c.counts.Replays = status.Fetches, status.Replays
	return c.counts.Failed > 0, errors.Join(err, d.end(c.counts))
}

// newSource returns the source of tokens for the API, and for no other origin.
func newSource(set service.Caller, observe func(context.Context, outbound.Event)) (*outbound.Source, error) {
	api, err := url.Parse(set.API)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	secret := outbound.Secret(set.Secret)
	if set.SecretFile != "" {
		secret = outbound.SecretFile(set.SecretFile) // read for each token, so a rotated secret is used
	}
	config := outbound.Config{
		Issuer:   set.Issuer,
		ClientID: set.ClientID,
		Secret:   secret,
		Scopes:   set.Scopes,
		Origins:  []string{api.Scheme + "://" + api.Host},
		Observe:  observe,
	}
	if set.Resource != "" {
		config.Resources = []string{set.Resource}
	}
	return outbound.New(config)
}
