package outbound

import (
	"context"

	"golang.org/x/oauth2"
)

// OAuth2 returns the Source as a TokenSource of golang.org/x/oauth2, for libraries that
// take one. Prefer [Source.Client] to oauth2.NewClient: that one caches tokens, so it
// misses refreshes, and sends them to every host.
//
// A call waits for a token at most twice Config.Timeout. With Config.DPoP each call is an
// error, because the libraries make no proofs. With Config.Certificate, the connection to
// the API must show that certificate.
func (s *Source) OAuth2() oauth2.TokenSource { return tokenSource{s} }

type tokenSource struct{ source *Source }

// Token implements [oauth2.TokenSource].
func (t tokenSource) Token() (*oauth2.Token, error) {
	if !t.source.zero() && t.source.family.prover != nil {
		return nil, errNoProof
	}
	h, err := t.source.held(context.Background())
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: h.text, TokenType: schemeBearer, Expiry: h.expires}, nil
}
