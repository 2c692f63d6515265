package main

import (
	"fmt"
	"strings"

	"github.com/echo-m2m/m2m/example/seed"
	"github.com/echo-m2m/m2m/example/service"
)

// session shows how to use the clients that were just made, or how to get a new
// secret of those that were made earlier.
func session(set service.Settings, demo seed.Demo) string {
	switch {
	case demo.Known:
		return service.NewSecret + set.Kept()
	case demo.Others:
		return service.OtherClients + set.Kept()
	case demo.Secret == "":
		return set.Kept()
	}
	return fmt.Sprintf(`
The clients "demo" and "demo-admin" were made. Their secrets are shown this once. Paste this in another terminal:

  URL=%s
  # 1. get a token: demo has the scope orders:read
  SECRET=%s
  TOKEN=$(curl -s $URL/token -d grant_type=client_credentials -d client_id=demo -d client_secret=$SECRET \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

  # 2. call the API with it
  curl -s $URL/v1/orders -H "Authorization: Bearer $TOKEN"
  curl -s $URL/v1/whoami -H "Authorization: Bearer $TOKEN"

  # 3. be refused: 401 without a token, 403 for a scope that demo lacks
  curl -si $URL/v1/orders
  curl -si $URL/v1/orders -H "Authorization: Bearer $TOKEN" -d item=milk -d quantity=1

  # 4. revoke the token: it is refused at once
  curl -si $URL/revoke -d client_id=demo -d client_secret=$SECRET -d token=$TOKEN
  curl -si $URL/v1/orders -H "Authorization: Bearer $TOKEN"

  # 5. manage clients: the admin API is guarded too, and demo-admin has the scope clients:admin
  ADMIN_SECRET=%s
  ADMIN=$(curl -s $URL/token -d grant_type=client_credentials -d client_id=demo-admin -d client_secret=$ADMIN_SECRET \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -s $URL/admin/clients -H "Authorization: Bearer $ADMIN"

`, strings.TrimSuffix(set.Issuer, "/"), demo.Secret, demo.AdminSecret) + set.Kept() + set.Ignored()
}
