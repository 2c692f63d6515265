// Package exchange is the base example in memory, for the programs that each show one way
// to get a token and to use it: the issuer, and the orders API behind a guard. It prints
// each request that arrives, and its answer.
package exchange

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/example/orders"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// Stage is the issuer and the API, running.
type Stage struct {
	URL    string // of both, http on the loopback; the issuer's identifier
	TLSURL string // the same with TLS, which asks for a certificate of the client
	CA     *CA    // has issued the server's certificate, and may issue those of clients

	out    *printer
	store  registry.Memory
	server *http.Server
	iss    *issuer.Issuer
}

// Main is the main of a program: show runs, and the program ends. Its exit status is 1 if
// that failed.
func Main(program string, show func(ctx context.Context, out io.Writer) error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := show(ctx, os.Stdout)
	cancel()
	if err != nil {
		log.Fatal(program, ": ", err)
	}
	fmt.Println("\nDone.")
}

// Start starts the issuer and the API on free ports. workloads are the issuers of
// workloads' tokens that it trusts.
func Start(out io.Writer, workloads ...issuer.WorkloadIssuer) (*Stage, error) {
	ca, err1 := NewCA()
	plain, err2 := net.Listen("tcp", "127.0.0.1:0")
	secure, err3 := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	certificate, err := ca.Server("127.0.0.1")
	if err != nil {
		return nil, err
	}
	s := &Stage{URL: "http://" + plain.Addr().String(), TLSURL: "https://" + secure.Addr().String(), CA: ca, out: &printer{out: out}}
	app, err := s.app(workloads)
	if err != nil {
		return nil, err
	}
	s.server = &http.Server{Handler: s.out.show(app), ReadHeaderTimeout: 5 * time.Second}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	for _, listener := range []net.Listener{plain, tls.NewListener(secure, config)} {
		go s.server.Serve(listener) //nolint:errcheck // it ends with Close
	}
	return s, nil
}

// Audience is the name of the API in tokens.
func (s *Stage) Audience() string { return s.URL + "/v1" }

// Close ends the issuer and the API.
func (s *Stage) Close() {
	_ = s.server.Close() // the program ends
	_ = s.iss.Close()
}

// Say prints what happens next.
func (s *Stage) Say(text string) { s.out.sayf("\n%s\n", text) }

// Register adds a client. The record is that of the admin API and of CLIENTS, as
// RFC 7591 names its members. The client may read orders.
func (s *Stage) Register(ctx context.Context, record map[string]any) error {
	record["audiences"], record["scope"] = []string{s.Audience()}, "orders:read"
	text, err := json.MarshalIndent(record, "  ", "  ")
	if err != nil {
		return err
	}
	s.Say("The record of the client, as in a file for CLIENTS:\n  " + string(text))
	clients, err := admin.ReadRecords([]byte("[" + string(text) + "]"))
	if err != nil {
		return err
	}
	client := clients[0].Client
	if secret := clients[0].Secret; secret != "" {
		hashed, err := registry.HashSecret(secret)
		if err != nil {
			return err
		}
		client.Secrets = append(client.Secrets, hashed)
	}
	_, err = s.store.Register(ctx, client)
	return err
}

// Get sends a GET and wants the status.
func (s *Stage) Get(ctx context.Context, client *http.Client, url string, want int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		return fmt.Errorf("%s is answered %s, want %d", url, answer.Status, want)
	}
	return nil
}

// GetBearer is Get with a token and nothing else, as a thief would send it.
func (s *Stage) GetBearer(ctx context.Context, token, url string, want int) error {
	return s.Get(ctx, &http.Client{Transport: stolen{token, s.transport()}}, url, want)
}

// stolen sends a token as a plain bearer token.
type stolen struct {
	token string
	base  http.RoundTripper
}

func (t stolen) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+t.token)
	return t.base.RoundTrip(r)
}

func (s *Stage) transport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CA.Pool, MinVersion: tls.VersionTLS12}}
}

// HTTP is what trusts the stage's TLS, for outbound.Config.HTTP.
func (s *Stage) HTTP() *http.Client { return &http.Client{Transport: s.transport()} }

func (s *Stage) app(workloads []issuer.WorkloadIssuer) (*echo.Echo, error) {
	key, err1 := jose.Generate("ES256")
	nonces, err2 := pop.NewNonces([]byte(rand.Text() + rand.Text()))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return nil, err
	}
	proofs := pop.Config{Nonces: nonces, RequireNonce: true}
	s.iss, err = issuer.New(issuer.Config{
		Issuer: s.URL, Keys: keys, Store: &s.store, WorkloadIssuers: workloads, Quiet: true,
		ClientCertificates: &issuer.ClientCertificates{CAs: s.CA.Pool, Origin: s.TLSURL},
		DPoP:               &proofs,
		ImportedSecrets:    true, // a record may have a client_secret
	})
	if err != nil {
		return nil, err
	}
	auth, err := bearer.New(bearer.Config{
		Issuer: s.URL, Audience: s.Audience(), Keys: keys, Revoked: s.iss.Revoked, Quiet: true,
		ClientCertificates: &bearer.ClientCertificates{},
		DPoP:               &bearer.DPoP{BaseURL: s.URL, AliasURL: s.TLSURL, Proofs: proofs},
	})
	if err != nil {
		return nil, err
	}
	e := echo.New()
	s.iss.Mount(e)
	orders.Mount(e, auth)
	return e, nil
}
