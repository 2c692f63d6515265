package issuertest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	bearer "github.com/echo-m2m/m2m/middleware"
)

var errEnded = errors.New("issuertest: the issuer's test has ended")

// Bearer returns the config of a guard that trusts this issuer, as one in the same
// process does: the guard asks for keys and revocations in memory. So rotations and
// revocations count at its next request. The audience is the API's; "" is
// that of the first guard, or "https://api.test".
func (i *Issuer) Bearer(audience string) bearer.Config {
	if !i.made(nil) {
		return bearer.Config{}
	}
	return bearer.Config{Issuer: i.URL(), Audience: i.guarded(audience), Keys: source{i}, Revoked: i.revoked, Quiet: true}
}

// guarded returns the audience of a guard. The first one is that of tokens which name
// none.
func (i *Issuer) guarded(audience string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	audience = cmp.Or(audience, i.audience, defaultAudience)
	i.audience = cmp.Or(i.audience, audience)
	return audience
}

// source is the keyring of the generation in force.
type source struct{ issuer *Issuer }

// Key returns the published key with this kid for this alg.
func (s source) Key(ctx context.Context, kid, alg string) (*jose.Key, error) {
	g, release := s.issuer.use()
	if g == nil {
		return nil, errors.Join(jwks.ErrUnavailable, errEnded)
	}
	defer release()
	return g.keyring.Key(ctx, kid, alg)
}

func (i *Issuer) revoked(ctx context.Context, jti, clientID string, issuedAt time.Time) (bool, error) {
	g, release := i.use()
	if g == nil {
		return false, errEnded
	}
	defer release()
	if err := i.Feed.broken(); err != nil {
		return false, err
	}
	return g.issuer.Revoked(ctx, jti, clientID, issuedAt)
}

// Remote returns the config of a guard that trusts this issuer, as an API elsewhere does:
// it finds the issuer's keys over HTTP, through the metadata, and introspects each token.
// So the switches Metadata, KeySet and Introspection count. The cache of
// introspection holds an answer for 1 ns. The key set is cached as always: see
// [jwks.Remote].
func (i *Issuer) Remote(tb testing.TB, audience string) bearer.Config {
	if !i.made(tb) {
		return bearer.Config{}
	}
	tb.Helper()
	audience = i.guarded(audience)
	guard := registry.Client{ID: "guard-" + rand.Text(), Introspects: []string{audience}}
	secret := i.Register(tb, guard)
	transport := i.Transport(tb)
	keys := jwks.NewIssuerRemote(i.URL(), jwks.RemoteConfig{Client: &http.Client{Transport: transport}, Quiet: true})
	tb.Cleanup(func() { _ = keys.Close() })
	return bearer.Config{
		Issuer: i.URL(), Audience: audience, Keys: keys, Quiet: true,
		Introspection: &bearer.Introspection{
			Endpoint: strings.TrimSuffix(i.URL(), "/") + "/introspect", ClientID: guard.ID, ClientSecret: secret,
			CacheFor: time.Nanosecond, Client: &http.Client{Transport: transport},
		},
	}
}
