package outbound_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// serveCertificate is a token endpoint and an API, which ask for a certificate.
func serveCertificate(w http.ResponseWriter, r *http.Request) {
	fmt.Println(r.URL.Path, r.TLS.PeerCertificates[0].Subject)
	if r.URL.Path == "/token" {
		fmt.Fprint(w, `{"access_token":"an-opaque-token","token_type":"Bearer","expires_in":900}`)
	}
}

// selfSigned is a certificate of this client. One from files: outbound.CertificateFiles.
func selfSigned() (c tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "reporter"}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, err
}

// The certificate authenticates the client, and tokens may be bound to it.
func ExampleCertificate() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(serveCertificate))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	certificate, err := selfSigned()
	if err != nil {
		log.Fatal(err)
	}

	calls, err := outbound.New(outbound.Config{
		TokenURL: server.URL + "/token", ClientID: "reporter", Resources: []string{server.URL},
		Certificate: outbound.Certificate(certificate),
		HTTP:        server.Client(), // trusts the server of this example
	})
	if err != nil {
		log.Fatal(err)
	}
	defer calls.Close()
	res, err := calls.Client().Get(server.URL + "/orders")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode)
	// Output:
	// /token CN=reporter
	// /orders CN=reporter
	// 200
}
