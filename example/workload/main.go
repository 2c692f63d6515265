// Command workload shows a client that authenticates with a token which its platform gives
// it: nobody makes, stores or rotates a credential. The platform here is one of the
// example's own, which makes tokens as Kubernetes does for a service account.
//
//	go run ./example/workload
//
// The differences from ./example are the platform that the issuer trusts, the client's
// record, and one line of the caller.
package main

import (
	"context"
	"io"

	"github.com/echo-m2m/m2m/example/exchange"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/jwks/profile"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

func main() { exchange.Main("workload", show) }

func show(ctx context.Context, out io.Writer) error {
	cluster, err := exchange.StartPlatform()
	if err != nil {
		return err
	}
	defer cluster.Close()
	stage, err := exchange.Start(out, issuer.WorkloadIssuer{Issuer: cluster.URL, Profile: profile.Kubernetes()})
	if err != nil {
		return err
	}
	defer stage.Close()

	const account = "system:serviceaccount:billing:reporter"
	err = stage.Register(ctx, map[string]any{
		"client_id": "reporter",
		"workload":  []map[string]any{{"issuer": cluster.URL, "subject": account, "audience": stage.URL}},
	})
	if err != nil {
		return err
	}

	path, err := cluster.MountToken(ctx, account, stage.URL)
	if err != nil {
		return err
	}

	calls, err := outbound.New(outbound.Config{
		Issuer: stage.URL, ClientID: "reporter", Resources: []string{stage.Audience()},
		Assertion: outbound.WorkloadToken(path), // in place of Secret
	})
	if err != nil {
		return err
	}
	defer calls.Close()
	stage.Say("The client gets a token with that of its service account, and reads the orders:")
	return stage.Get(ctx, calls.Client(), stage.URL+"/v1/orders", 200)
}
