package middleware_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// An API for tokens that are bound to a certificate of the client, over TLS. The server
// asks for any certificate, and the guard compares it with the token.
func Example_clientCertificates() {
	issuerKey, err := jose.Generate("ES256")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.NewKeyring(issuerKey)
	if err != nil {
		log.Fatal(err)
	}
	auth, err := bearer.New(bearer.Config{
		Issuer:             "https://auth.example.com",
		Audience:           "https://api.example.com",
		Keys:               keys,
		ClientCertificates: &bearer.ClientCertificates{},
		RequireBound:       true, // on all routes
	})
	if err != nil {
		log.Fatal(err)
	}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "orders of ", bearer.TokenFromContext(r.Context()).ClientID)
	})
	server := httptest.NewUnstartedServer(auth.Handler(orders, "orders:read"))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	server.StartTLS()
	defer server.Close()

	clientKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, clientKey.Public(), clientKey)
	if err != nil {
		log.Fatal(err)
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: clientKey}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now().Unix()
	token, err := keys.Sign(context.Background(), "at+jwt", fmt.Appendf(nil, // as the issuer does
		`{"iss":"https://auth.example.com","aud":"https://api.example.com","sub":"reporter","client_id":"reporter","jti":"1","iat":%d,"exp":%d,"scope":"orders:read","cnf":{"x5t#S256":%q}}`,
		now, now+900, pop.CertificateThumbprint(leaf)))
	if err != nil {
		log.Fatal(err)
	}

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	send := func(what string, certificates ...tls.Certificate) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates, MinVersion: tls.VersionTLS13}}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			log.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(what, answer.StatusCode, string(body))
	}
	send("the client:", certificate)
	send("a thief:")
	// Output:
	// the client: 200 orders of reporter
	// a thief: 401 {"error":"invalid_token","error_description":"the access token is bound to a client certificate, which the request does not have"}
}
