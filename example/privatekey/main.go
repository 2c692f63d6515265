// Command privatekey shows a client that authenticates with a key of its own
// (private_key_jwt, RFC 7523). The issuer knows the public half, so it has no secret that
// could leak.
//
//	go run ./example/privatekey
//
// The differences from ./example are the client's record, and one line of the caller.
package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/echo-m2m/m2m/example/exchange"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

func main() { exchange.Main("privatekey", show) }

func show(ctx context.Context, out io.Writer) error {
	stage, err := exchange.Start(out)
	if err != nil {
		return err
	}
	defer stage.Close()

	private, err := jose.Generate("ES256") // or the crypto.Signer of a KMS
	if err != nil {
		return err
	}
	public, err := publicSet(private.Public())
	if err != nil {
		return err
	}
	if err := stage.Register(ctx, map[string]any{"client_id": "reporter", "jwks": public}); err != nil {
		return err
	}

	calls, err := outbound.New(outbound.Config{
		Issuer: stage.URL, ClientID: "reporter", Resources: []string{stage.Audience()},
		Assertion: outbound.PrivateKeyJWT(private, "", ""), // in place of Secret
	})
	if err != nil {
		return err
	}
	defer calls.Close()
	stage.Say("The client gets a token with an assertion that it has signed, and reads the orders:")
	return stage.Get(ctx, calls.Client(), stage.URL+"/v1/orders", 200)
}

// publicSet is the member jwks of the client's record.
func publicSet(public any) (json.RawMessage, error) {
	key, err := jose.NewKey(public, "ES256", "") // its kid is its thumbprint, as the caller names it
	if err != nil {
		return nil, err
	}
	set, err := jose.NewSet(key)
	if err != nil {
		return nil, err
	}
	return set.MarshalJSON()
}
