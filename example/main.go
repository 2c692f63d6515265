// Command example is the whole of m2m in one process: an issuer that grants
// tokens, and an API that wants them.
//
//	go run ./example
//
// It prints a curl session to paste. Its settings, all optional, are environment
// variables; the README lists them.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer/admin"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal("example: ", err)
	}
}

func run(ctx context.Context) error {
	listener, url, err := service.Listen("127.0.0.1:8080")
	if err != nil {
		return err
	}
	defer listener.Close()
	issuerURL := service.Env("ISSUER", url)
	audience := service.Env("AUDIENCE", strings.TrimSuffix(issuerURL, "/")+"/v1")

	iss, err := service.NewIssuer(ctx, issuerURL)
	if err != nil {
		return err
	}
	defer iss.Close()
	defer service.RotateOnSignal(ctx, iss.Keys)()
	secret, err := service.RegisterClients(ctx, iss.Storage, audience)
	if err != nil {
		return err
	}
	auth, err := bearer.New(bearer.Config{
		Issuer:   issuerURL,
		Audience: audience,
		Keys:     iss.Keys,    // the same process: no HTTP call to ourselves
		Revoked:  iss.Revoked, // what is revoked stops at the next request
	})
	if err != nil {
		return err
	}
	api, err := admin.New(admin.Config{Issuer: iss.Issuer, Manager: iss.Storage})
	if err != nil {
		return err
	}

	e := service.New()
	iss.Mount(e)
	api.Mount(e.Group("/admin", auth.Require("clients:admin")))
	service.Orders(e, auth)
	fmt.Printf("issuer %s, API audience %s, process %d, listening on %s\n%s", issuerURL, audience, os.Getpid(), listener.Addr(), session(issuerURL, secret))
	return service.Serve(e, listener)
}

// session shows how to use the client that was just made, if one was.
func session(issuerURL, secret string) string {
	if secret == "" {
		return ""
	}
	return fmt.Sprintf(`
The client "demo" was made. Its secret is shown this once. Paste this in another terminal:

  # 1. get a token
  TOKEN=$(curl -s %[1]s/token -d grant_type=client_credentials \
    -d client_id=demo -d client_secret=%[2]s \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

  # 2. call the API with it
  curl -s %[1]s/v1/orders -H "Authorization: Bearer $TOKEN"
  curl -s %[1]s/v1/whoami -H "Authorization: Bearer $TOKEN"

  # 3. be refused without it
  curl -i %[1]s/v1/orders

`, issuerURL, secret)
}
