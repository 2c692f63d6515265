// Command caller is a program that calls an API with tokens, and goes on while the issuer
// restarts, rotates its keys, revokes tokens and gets new secrets for its clients.
//
//	go run ./example                                                       # in one terminal; prints an id and a secret
//	CLIENT_ID=demo CLIENT_SECRET=m2m_… EVERY=1s go run ./example/caller    # in another
//
// It prints what it does. At the end, after FOR or Ctrl-C, it prints its counts as one line
// of JSON. A call that the end cuts short is not counted, unless none has succeeded: then it
// has failed. The exit status is 1 if a call failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/jwks/fetch"
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
	if set.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, set.For)
		defer cancel()
	}
	d := &diary{out: out}
	tokens := newCounter()
	source, err := newSource(ctx, set, tokens, d.event)
	if err != nil {
		return false, err
	}
	c := &caller{api: set.API, client: source.Client(), diary: d}
	c.client.Transport, c.client.Timeout = source.Transport(http.DefaultTransport), requestTimeout
	d.sayf("calling %s every %v, with tokens of %s for %s", set.API, set.Every, set.Issuer, set.ClientID)
	c.run(ctx, set.Every)
	err = source.Close()
	c.counts.TokenRequests, c.counts.Replays = tokens.sent.Load(), source.Status().Replays
	return c.counts.Failed > 0, errors.Join(err, d.end(c.counts))
}

// newSource returns the source of tokens for the API, and for no other origin.
func newSource(ctx context.Context, set service.Caller, transport http.RoundTripper, observe func(context.Context, outbound.Event)) (*outbound.Source, error) {
	if err := check("ISSUER", set.Issuer, (*fetch.Client).CheckIssuer); err != nil {
		return nil, err
	}
	if err := check("API", set.API, (*fetch.Client).CheckURL); err != nil {
		return nil, err
	}
	api, err := url.Parse(set.API)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	secret := outbound.Secret(set.Secret)
	if set.SecretFile != "" {
		secret = outbound.SecretFile(set.SecretFile) // read for each token, so a rotated secret is used
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		if _, err := secret(ctx); err != nil {
			return nil, fmt.Errorf("CLIENT_SECRET_FILE: %w", err)
		}
	}
	config := outbound.Config{
		Issuer:   set.Issuer,
		ClientID: set.ClientID,
		Secret:   secret,
		Scopes:   set.Scopes,
		Origins:  []string{api.Scheme + "://" + api.Host},
		Observe:  observe,
		HTTP:     &http.Client{Transport: transport}, // to count. The default refuses more addresses
	}
	if set.Resource != "" {
		config.Resources = []string{set.Resource}
	}
	return outbound.New(config)
}

// check refuses a URL to which no secret or token may be sent, in the words of this program:
// it has no setting for http to other hosts.
func check(name, url string, by func(c *fetch.Client, url string) error) error {
	err := by(fetch.NewClient(nil, false), url)
	switch {
	case err == nil:
		return nil
	case by(fetch.NewClient(nil, true), url) == nil:
		return fmt.Errorf("%s=%q: write https, or http on the loopback: this program sends no token over http elsewhere", name, url)
	}
	return fmt.Errorf("%s: %w", name, err)
}
