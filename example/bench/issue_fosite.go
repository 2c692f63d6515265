package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	jose "github.com/go-jose/go-jose/v3"
	"github.com/labstack/echo/v4"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
)

// quickHasher suits a secret of 256 random bits, as ours is.
type quickHasher struct{}

func (quickHasher) Hash(_ context.Context, secret []byte) ([]byte, error) {
	sum := sha256.Sum256(secret)
	return sum[:], nil
}

func (h quickHasher) Compare(ctx context.Context, hash, secret []byte) error {
	sum, err := h.Hash(ctx, secret)
	if err == nil && subtle.ConstantTimeCompare(sum, hash) != 1 {
		err = errors.New("wrong secret")
	}
	return err
}

// forgetful is fosite's memory store, changed so that it does not keep every token.
type forgetful struct{ *storage.MemoryStore }

func (forgetful) CreateAccessTokenSession(context.Context, string, fosite.Requester) error {
	return nil
}

func fositeGrantor(ctx context.Context, o *office) (grantor, error) {
	return newFosite(ctx, issueFosite, o, o.secret, quickHasher{})
}

func bcryptGrantor(ctx context.Context, o *office) (grantor, error) {
	if o.alg != algorithms[0] {
		return grantor{name: issueBcrypt, why: "as with " + algorithms[0] + ": the hash is all that shows"}, nil
	}
	// bcrypt takes 72 bytes of a secret, and ours is longer.
	return newFosite(ctx, issueBcrypt, o, o.secret[:72], &fosite.BCrypt{Config: &fosite.Config{}})
}

func newFosite(ctx context.Context, name string, o *office, secret string, hasher fosite.Hasher) (grantor, error) {
	hash, err := hasher.Hash(ctx, []byte(secret))
	if err != nil {
		return grantor{}, err
	}
	store := forgetful{storage.NewMemoryStore()}
	store.Clients[o.clientID] = &fosite.DefaultClient{
		ID: o.clientID, Secret: hash, GrantTypes: []string{"client_credentials"},
		Scopes: []string{"orders:read", "orders:write"}, Audience: []string{audience},
	}
	config := &fosite.Config{
		AccessTokenLifespan: tokenLifetime, AccessTokenIssuer: issuerURL, ClientSecretsHasher: hasher,
		ScopeStrategy: fosite.ExactScopeStrategy, JWTScopeClaimKey: jwt.JWTScopeFieldString,
	}
	key := &jose.JSONWebKey{Key: o.signer, KeyID: o.kid, Algorithm: o.alg, Use: "sig"}
	strategy := compose.NewOAuth2JWTStrategy(func(context.Context) (any, error) { return key, nil },
		compose.NewOAuth2HMACStrategy(config), config)
	provider := compose.Compose(config, store, strategy, compose.OAuth2ClientCredentialsGrantFactory)

	e := newRoute()
	e.POST("/token", func(c echo.Context) error {
		answerWith(c.Request(), c.Response(), provider, o)
		return nil
	})
	return grantor{name: name, handler: e, path: "/token", secret: secret}, nil
}

func answerWith(r *http.Request, w http.ResponseWriter, provider fosite.OAuth2Provider, o *office) {
	ctx := r.Context()
	request, err := provider.NewAccessRequest(ctx, r, &oauth2.JWTSession{
		JWTClaims: &jwt.JWTClaims{Subject: o.clientID, IssuedAt: time.Now(), Extra: map[string]any{"client_id": o.clientID}},
		JWTHeader: &jwt.Headers{Extra: map[string]any{"kid": o.kid, "typ": "at+jwt"}},
	})
	if err != nil {
		provider.WriteAccessError(ctx, w, request, err)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	request.GrantAudience(audience)
	response, err := provider.NewAccessResponse(ctx, request)
	if err != nil {
		provider.WriteAccessError(ctx, w, request, err)
		return
	}
	provider.WriteAccessResponse(ctx, w, request, response)
}
