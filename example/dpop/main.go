// Command dpop shows a client whose tokens are bound to a key by DPoP (RFC 9449): each
// request has a proof that the client signs, and who steals a token cannot use it.
//
//	go run ./example/dpop
//
// The differences from ./example are the client's record, and one line of the caller.
package main

import (
	"context"
	"crypto/rand"
	"io"

	"github.com/echo-m2m/m2m/example/exchange"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

func main() { exchange.Main("dpop", show) }

func show(ctx context.Context, out io.Writer) error {
	stage, err := exchange.Start(out)
	if err != nil {
		return err
	}
	defer stage.Close()

	secret := rand.Text()
	err = stage.Register(ctx, map[string]any{"client_id": "reporter", "client_secret": secret, "dpop_bound_access_tokens": true})
	if err != nil {
		return err
	}

	calls, err := outbound.New(outbound.Config{
		Issuer: stage.URL, ClientID: "reporter", Resources: []string{stage.Audience()},
		Secret: outbound.Secret(secret), Method: "client_secret_post",
		DPoP: outbound.NewDPoPKey(), // beside Secret, or any other credential
	})
	if err != nil {
		return err
	}
	defer calls.Close()
	stage.Say("Here a proof needs a nonce of the server. So the first request to the issuer, and the first one to the API, are sent twice:")
	if err := stage.Get(ctx, calls.Client(), stage.URL+"/v1/bound", 200); err != nil {
		return err
	}
	stage.Say("The client has the nonce now:")
	if err := stage.Get(ctx, calls.Client(), stage.URL+"/v1/bound", 200); err != nil {
		return err
	}
	token, err := calls.Token(ctx)
	if err != nil {
		return err
	}
	stage.Say("A thief has the token and not the key:")
	return stage.GetBearer(ctx, token.Text(), stage.URL+"/v1/bound", 401)
}
