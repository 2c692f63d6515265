package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/generates"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
	"github.com/go-oauth2/oauth2/v4/store"
	"github.com/golang-jwt/jwt/v5"
	"github.com/labstack/echo/v4"
)

// noTokens is a token store that keeps none; client credentials only ever write.
type noTokens struct{ oauth2.TokenStore }

func (noTokens) Create(context.Context, oauth2.TokenInfo) error { return nil }

func goOAuthGrantor(_ context.Context, o *office) (grantor, error) {
	der, err := x509.MarshalPKCS8PrivateKey(o.signer)
	if err != nil {
		return grantor{}, err
	}
	clients := store.NewClientStore()
	if err := clients.Set(o.clientID, &models.Client{ID: o.clientID, Secret: o.secret}); err != nil {
		return grantor{}, err
	}
	manager := manage.NewDefaultManager()
	manager.SetClientTokenCfg(&manage.Config{AccessTokenExp: tokenLifetime})
	manager.MapClientStorage(clients)
	manager.MapTokenStorage(noTokens{})
	manager.MapAccessGenerate(generates.NewJWTAccessGenerate(o.kid,
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), jwt.GetSigningMethod(o.alg)))
	srv := server.NewDefaultServer(manager)
	srv.SetClientInfoHandler(server.ClientBasicHandler)

	e := newRoute()
	e.POST("/token", func(c echo.Context) error { return srv.HandleTokenRequest(c.Response(), c.Request()) })
	return grantor{name: issueGoOAuth, handler: e, path: "/token"}, nil
}
