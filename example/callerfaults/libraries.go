package main

import (
	"context"
	"net/http"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// library is a way to call an API with the client credentials grant.
type library struct {
	name string
	open func(ctx context.Context, s setup) (*caller, error)
}

// setup is what each library is told.
type setup struct {
	tokenURL   string
	api        string // its origin
	secretFile string
}

// caller is a client of an API.
type caller struct {
	client  *http.Client              // its requests carry a token
	expires func() (time.Time, error) // of the token in hand; zero if it is used for ever
	close   func()
}

var oauth2Library = library{"`x/oauth2`", func(ctx context.Context, s setup) (*caller, error) {
	secret, err := os.ReadFile(s.secretFile)
	if err != nil {
		return nil, err
	}
	config := &clientcredentials.Config{ClientID: clientID, ClientSecret: string(secret), TokenURL: s.tokenURL}
	source := config.TokenSource(ctx)
	return &caller{
		client: oauth2.NewClient(ctx, source), // as config.Client does
		expires: func() (time.Time, error) {
			token, err := source.Token()
			if err != nil {
				return time.Time{}, err
			}
			return token.Expiry, nil
		},
		close: func() {},
	}, nil
}}

var outboundLibrary = library{"`middleware/outbound`", func(ctx context.Context, s setup) (*caller, error) {
	return openOutbound(ctx, s.config())
}}

// config is what package outbound is told.
func (s setup) config() outbound.Config {
	return outbound.Config{
		TokenURL: s.tokenURL,
		ClientID: clientID,
		Secret:   outbound.SecretFile(s.secretFile),
		Origins:  []string{s.api},
		Quiet:    true,
	}
}

func openOutbound(ctx context.Context, config outbound.Config) (*caller, error) {
	source, err := outbound.New(config)
	if err != nil {
		return nil, err
	}
	return &caller{
		client: source.Client(),
		expires: func() (time.Time, error) {
			token, err := source.Token(ctx)
			return token.Expires(), err
		},
		close: func() { _ = source.Close() }, // its error is always nil
	}, nil
}
