package issuertest

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Register adds a client that gets tokens from the token endpoint, and returns its
// secret. ID is "test-client" if it is empty, and Audiences are those that
// [Audience] has by default. A client that authenticates in another way gets no secret, and
// "" is returned: one whose AuthMethod says so, or that has keys, a subject of certificates
// or workloads, and no AuthMethod.
func (i *Issuer) Register(tb testing.TB, c registry.Client) (secret string) {
	if !i.made(tb) {
		return ""
	}
	tb.Helper()
	if g, release := i.use(); g == nil {
		tb.Fatal(errEnded)
	} else {
		release()
	}
	c = *c.Clone()
	c.ID = cmp.Or(c.ID, defaultClient)
	if len(c.Audiences) == 0 && len(c.Introspects) == 0 {
		c.Audiences = []string{i.defaultAudience()}
	}
	if c.UsesSecret() {
		var hash registry.Secret
		secret, hash = registry.GenerateSecret()
		c.Secrets = append(c.Secrets, hash)
	}
	if _, err := i.manager.Register(context.Background(), c); err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
	return secret
}

// Clients manages the clients: rotate a secret, disable a client, delete one. The issuer
// follows each change at once.
func (i *Issuer) Clients() registry.Manager {
	if !i.made(nil) {
		return &registry.Memory{}
	}
	return i.manager
}

// Revoke revokes a token of this issuer, minted or granted.
func (i *Issuer) Revoke(tb testing.TB, token string) {
	if !i.made(tb) {
		return
	}
	tb.Helper()
	claims, err := i.claimsOf(token)
	if err == nil {
		err = i.revoke(context.Background(), claims)
	}
	if err != nil {
		tb.Fatalf("issuertest: revoking: %v", err)
	}
}

// claimsOf returns the claims of a token of this issuer, as JSON.
func (i *Issuer) claimsOf(token string) (string, error) {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return "", fmt.Errorf("the claims of the token: %w", err)
	}
	claims, err := jose.ParseObject(string(text))
	if err != nil {
		return "", fmt.Errorf("the claims of the token: %w", err)
	}
	if iss, _, err := claims.String("iss"); err != nil || iss != i.URL() {
		return "", fmt.Errorf("the token is another issuer's: its iss is %q, and this issuer is %q", iss, i.URL())
	}
	return string(text), nil
}

// RevokeClient revokes every token that the client has so far. It may get new ones.
func (i *Issuer) RevokeClient(tb testing.TB, clientID string) {
	if !i.made(tb) {
		return
	}
	tb.Helper()
	g, release := i.use()
	defer release()
	if g == nil {
		tb.Fatal(errEnded)
	}
	err := g.issuer.RevokeClient(context.Background(), clientID)
	if err == nil {
		err = i.wrote(context.Background(), g)
	}
	if err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
}

// Client returns a client of HTTP that sends one token with each request, made by
// [Issuer.Token] with these options, and with [Bound] a proof for each. It keeps a request's own Authorization header. The
// token does not follow a redirect to another host. Connections end with the test, also
// those of answers whose body was not closed.
func (i *Issuer) Client(tb testing.TB, options ...Option) *http.Client {
	if !i.made(tb) {
		return &http.Client{}
	}
	tb.Helper()
	token, base := i.Token(tb, options...), newTransport(tb)
	if prover := proverOf(options); prover != nil {
		return &http.Client{Transport: &proving{token: token, prover: prover, base: base, nonces: map[string]string{}}}
	}
	return &http.Client{Transport: carrier{"Bearer " + token, base}}
}

// carrier adds a token to requests.
type carrier struct {
	authorization string
	base          http.RoundTripper
}

// RoundTrip sends the request with the token.
func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" && !leftHost(r) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", c.authorization)
	}
	return c.base.RoundTrip(r)
}

// leftHost reports whether the redirects that led to a request have left its first host.
func leftHost(r *http.Request) bool {
	for earlier := r.Response; earlier != nil; earlier = earlier.Request.Response {
		if earlier.Request.URL.Host != r.URL.Host {
			return true
		}
	}
	return false
}
