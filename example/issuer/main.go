// Command issuer is an issuer alone, of which many replicas can run on one
// PostgreSQL database:
//
//	DATABASE_URL=postgres://… ISSUER=https://auth.example.com go run ./example/issuer
//
// It differs from ./example in that it has no orders API. Its own admin API wants
// a token for the audience ISSUER + "/admin" with the scope clients:admin; make
// the first such client with ./example/clients.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer/admin"
	bearer "github.com/echo-m2m/m2m/middleware"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal("issuer: ", err)
	}
}

func run(ctx context.Context) error {
	listener, url, err := service.Listen("127.0.0.1:8080")
	if err != nil {
		return err
	}
	defer listener.Close()
	issuerURL := service.Env("ISSUER", url)

	iss, err := service.NewIssuer(ctx, issuerURL)
	if err != nil {
		return err
	}
	defer iss.Close()
	defer service.RotateOnSignal(ctx, iss.Keys)()
	secret, err := service.RegisterClients(ctx, iss.Storage, service.Env("AUDIENCE", issuerURL+"/v1"))
	if err != nil {
		return err
	}
	auth, err := bearer.New(bearer.Config{Issuer: issuerURL, Audience: issuerURL + "/admin", Keys: iss.Keys, Revoked: iss.Revoked})
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
	fmt.Printf("issuer %s, listening on %s\n", issuerURL, listener.Addr())
	if secret != "" {
		fmt.Printf("the client \"demo\" was made; its secret is shown this once: %s\n", secret)
	}
	return service.Serve(e, listener)
}
