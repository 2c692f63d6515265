package outbound

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// OAuth2 returns a TokenSource of golang.org/x/oauth2/clientcredentials that authenticates
// with the Assertion, for programs that stay with that package. Each token request has an
// assertion of its own in its EndpointParams; those of one clientcredentials.Config would
// be sent a second time, and refused as a replay. Tokens are reused until they expire.
//
// audience is the issuer identifier of the server. c is read at each request, must not be
// changed any more, and has no ClientSecret. Its AuthStyle is not used: the client id is a
// parameter. ctx is that of all requests, and may have an HTTP client ([oauth2.HTTPClient]).
//
// Of what a [Source] does for failures, redirects and refused tokens, this does nothing.
func (a Assertion) OAuth2(ctx context.Context, c *clientcredentials.Config, audience string) oauth2.TokenSource {
	s := &assertionSource{assertion: a, ctx: ctx, config: c, audience: audience, calls: callout{field: "the Assertion", noun: "assertion"}}
	return oauth2.ReuseTokenSource(nil, s)
}

type assertionSource struct {
	assertion Assertion
	ctx       context.Context //nolint:containedctx // as x/oauth2 does: Token has none
	config    *clientcredentials.Config
	audience  string
	calls     callout
}

// Token implements [oauth2.TokenSource].
func (s *assertionSource) Token() (*oauth2.Token, error) {
	c := s.config
	switch {
	case s.ctx == nil || c == nil || s.assertion.zero():
		return nil, errors.New("outbound: OAuth2: the context, the clientcredentials.Config or the Assertion is missing")
	case s.assertion.mistaken != nil:
		return nil, fmt.Errorf("outbound: %w", s.assertion.mistaken)
	case c.ClientSecret != "":
		return nil, errors.New("outbound: OAuth2: the clientcredentials.Config has a ClientSecret: leave it out")
	case s.assertion.signs && s.audience == "":
		return nil, errors.New("outbound: OAuth2: the audience is missing: write the issuer identifier of the server")
	}
	ctx, cancel := context.WithTimeout(s.ctx, assertionTimeout)
	defer cancel()
	text, err := s.assertion.text(ctx, &s.calls, &secretUse{}, assertionRequest{clientID: c.ClientID, audience: s.audience, now: time.Now()})
	if err != nil {
		return nil, err
	}
	params := url.Values{}
	maps.Copy(params, c.EndpointParams)
	params.Set("client_assertion_type", assertionType)
	params.Set("client_assertion", text)
	fresh := clientcredentials.Config{
		ClientID: c.ClientID, TokenURL: c.TokenURL, Scopes: c.Scopes, EndpointParams: params,
		AuthStyle: oauth2.AuthStyleInParams, // the default tries two styles, the second one with a used assertion
	}
	return fresh.Token(s.ctx)
}

// assertionTimeout bounds the wait for an assertion.
const assertionTimeout = 10 * time.Second
