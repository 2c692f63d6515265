package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// zitadelStorage has what client credentials need of op.Storage; the rest of the
// interface is never called.
type zitadelStorage struct {
	op.Storage
	*office
	hash [sha256.Size]byte
}

// zitadelClient is likewise all that is asked of op.Client here.
type zitadelClient struct {
	op.Client
	id string
}

func (c zitadelClient) GetID() string                     { return c.id }
func (zitadelClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (zitadelClient) ClockSkew() time.Duration            { return 0 }
func (zitadelClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeClientCredentials}
}
func (zitadelClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// zitadelRequest is what the token is to say, and zitadelKey what signs it.
type (
	zitadelRequest struct {
		id     string
		scopes []string
	}
	zitadelKey struct{ *office }
)

func (r zitadelRequest) GetSubject() string  { return r.id }
func (zitadelRequest) GetAudience() []string { return []string{audience} }
func (r zitadelRequest) GetScopes() []string { return r.scopes }

func (k zitadelKey) SignatureAlgorithm() jose.SignatureAlgorithm {
	return jose.SignatureAlgorithm(k.alg)
}
func (k zitadelKey) Key() any   { return k.signer }
func (k zitadelKey) ID() string { return k.kid }

func (s *zitadelStorage) ClientCredentials(_ context.Context, id, secret string) (op.Client, error) {
	sum := sha256.Sum256([]byte(secret))
	if id != s.clientID || subtle.ConstantTimeCompare(sum[:], s.hash[:]) != 1 {
		return nil, errors.New("wrong client or secret")
	}
	return zitadelClient{id: id}, nil
}

func (s *zitadelStorage) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) { //nolint:unparam // op.ClientCredentialsStorage wants an error
	return zitadelRequest{id, scopes}, nil
}

// CreateAccessToken keeps nothing of the token.
func (s *zitadelStorage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return rand.Text(), time.Now().Add(tokenLifetime), nil
}

func (s *zitadelStorage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *zitadelStorage) SigningKey(context.Context) (op.SigningKey, error) {
	return zitadelKey{s.office}, nil
}

func zitadelGrantor(_ context.Context, o *office) (grantor, error) {
	config := &op.Config{}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return grantor{}, err
	}
	provider, err := op.NewProvider(config, &zitadelStorage{office: o, hash: sha256.Sum256([]byte(o.secret))}, op.StaticIssuer(issuerURL))
	if err != nil {
		return grantor{}, err
	}
	return grantor{name: issueZitadel, handler: provider, path: "/oauth/token"}, nil
}
