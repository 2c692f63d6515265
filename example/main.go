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
	"path/filepath"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/jwks"
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
	audience := service.Env("AUDIENCE", issuerURL+"/v1")
	dir := service.Env("DATA_DIR", "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}

	policy, err := service.KeyPolicy()
	if err != nil {
		return err
	}
	keys, err := jwks.Open(ctx, jwks.File(filepath.Join(dir, "keys.json")), policy)
	if err != nil {
		return err
	}
	defer keys.Close()
	defer service.RotateOnSignal(ctx, keys)()

	clients, welcome, err := openClients(filepath.Join(dir, "clients.json"), issuerURL, audience)
	if err != nil {
		return err
	}
	ttl, err := service.TokenTTL()
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{
		Issuer:          issuerURL,
		Keys:            keys,
		Store:           clients,
		TokenTTL:        ttl,
		ImportedSecrets: true, // CLIENT_SECRET may be anything
	})
	if err != nil {
		return err
	}
	auth, err := bearer.New(bearer.Config{
		Issuer:   issuerURL,
		Audience: audience,
		Keys:     keys, // the same process: no HTTP call to ourselves
	})
	if err != nil {
		return err
	}

	e := service.New()
	iss.Mount(e)
	service.Orders(e, auth)
	fmt.Printf("issuer %s, API audience %s, listening on %s\n%s", issuerURL, audience, listener.Addr(), welcome)
	return service.Serve(e, listener)
}
