// Command mtls shows a client that authenticates with a certificate (tls_client_auth,
// RFC 8705), and whose tokens are bound to it: who steals one cannot use it.
//
//	go run ./example/mtls
//
// The differences from ./example are the listener with TLS, which asks for a certificate,
// the client's record, and one line of the caller.
package main

import (
	"context"
	"crypto/x509/pkix"
	"io"

	"github.com/echo-m2m/m2m/example/exchange"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

func main() { exchange.Main("mtls", show) }

func show(ctx context.Context, out io.Writer) error {
	stage, err := exchange.Start(out)
	if err != nil {
		return err
	}
	defer stage.Close()

	certificate, err := stage.CA.Client(pkix.Name{CommonName: "reporter", Organization: []string{"Example"}}, "spiffe://example.com/reporter")
	if err != nil {
		return err
	}
	err = stage.Register(ctx, map[string]any{ //nolint:gosec // names, and no credential
		"client_id":                                  "reporter",
		"token_endpoint_auth_method":                 "tls_client_auth",
		"tls_client_auth_subject_dn":                 "CN=reporter,O=Example",
		"tls_client_certificate_bound_access_tokens": true,
	})
	if err != nil {
		return err
	}

	calls, err := outbound.New(outbound.Config{
		Issuer: stage.URL, ClientID: "reporter", Resources: []string{stage.Audience()},
		Origins: []string{stage.TLSURL}, HTTP: stage.HTTP(), // which trusts the example's CA
		Certificate: outbound.Certificate(certificate), // in place of Secret
	})
	if err != nil {
		return err
	}
	defer calls.Close()
	stage.Say("The client gets a token with its certificate, and uses it with that:")
	if err := stage.Get(ctx, calls.Client(), stage.TLSURL+"/v1/bound", 200); err != nil {
		return err
	}
	token, err := calls.Token(ctx)
	if err != nil {
		return err
	}
	stage.Say("A thief has the token and no certificate:")
	return stage.GetBearer(ctx, token.Text(), stage.TLSURL+"/v1/bound", 401)
}
