package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

// operatorScope is the scope for /policy and /shadow.
const operatorScope = "gateway:read"

// ownIssuer is the issuer of a gateway without ISSUER. It is in memory: its clients and keys
// end with the program.
type ownIssuer struct {
	*issuer.Issuer
	keys                *jwks.Keyring
	secret, adminSecret string // of demo and demo-admin
}

func newIssuer(ctx context.Context, url, audience string) (*ownIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return nil, err
	}
	store := &registry.Memory{}
	demo, err1 := registry.Ensure(ctx, store, registry.Client{ID: "demo", Scopes: []string{"orders:read", "orders:write", "invoices:read"}, Audiences: []string{audience}})
	admin, err2 := registry.Ensure(ctx, store, registry.Client{ID: "demo-admin", Scopes: []string{operatorScope}, Audiences: []string{audience}})
	iss, err3 := issuer.New(issuer.Config{Issuer: url, Keys: keys, Store: store, Observe: service.Observe})
	return &ownIssuer{iss, keys, demo, admin}, errors.Join(err1, err2, err3)
}

// session shows how to use the gateway.
func (i *ownIssuer) session(url string) string {
	return fmt.Sprintf(`
The clients "demo" and "demo-admin" were made. They end with this program. Paste this in another terminal:

  URL=%s
  # 1. get a token
  SECRET=%s
  TOKEN=$(curl -s $URL/token -d grant_type=client_credentials -d client_id=demo -d client_secret=$SECRET \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

  # 2. call both upstreams: they learn who called, and get no token
  curl -s $URL/orders/1 -H "Authorization: Bearer $TOKEN"
  curl -s $URL/invoices/1 -H "Authorization: Bearer $TOKEN"

  # 3. be refused: 401 without a token, 403 for a scope that demo lacks, 400 for a path with two meanings
  curl -si $URL/orders/1
  curl -si $URL/invoices/1 -H "Authorization: Bearer $TOKEN" -X DELETE
  curl -si $URL/orders/1%%2F2 -H "Authorization: Bearer $TOKEN"

  # 4. see the policy and the report of the shadow: demo-admin has the scope gateway:read
  ADMIN_SECRET=%s
  ADMIN=$(curl -s $URL/token -d grant_type=client_credentials -d client_id=demo-admin -d client_secret=$ADMIN_SECRET \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -s "$URL/policy?format=text" -H "Authorization: Bearer $ADMIN"
  curl -s "$URL/shadow?format=text" -H "Authorization: Bearer $ADMIN"

`, url, i.secret, i.adminSecret)
}
