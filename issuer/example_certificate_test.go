package issuer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A client authenticates with a certificate of the company's CA (RFC 8705), and needs no
// secret. The server asks for any certificate, and the issuer decides.
func ExampleClientCertificates() {
	if err := grantByCertificate(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// with the certificate: 200
	// without: 401
}

func grantByCertificate() error {
	ca, certificate, err := companyCertificates()
	if err != nil {
		return err
	}
	signing, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(signing)
	if err != nil {
		return err
	}
	store, err := registry.NewMemory(registry.Client{
		ID: "billing", AuthMethod: registry.TLSClientAuth, TLSClientAuthSubjectDN: "CN=billing,O=Example",
		CertificateBoundTokens: true, Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(ca)
	iss, err := issuer.New(issuer.Config{
		Issuer: "https://auth.example.com", Keys: keys, Store: store,
		ClientCertificates: &issuer.ClientCertificates{CAs: trusted},
	})
	if err != nil {
		return err
	}
	defer iss.Close()
	server := httptest.NewUnstartedServer(iss.Handler())
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert} // of a tls.Config of your own: MinVersion too
	server.StartTLS()
	defer server.Close()

	client := server.Client()
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("the transport is a %T", client.Transport)
	}
	ask := func(name string) error {
		answer, err := client.PostForm(server.URL+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}})
		if err != nil {
			return err
		}
		fmt.Println(name+":", answer.StatusCode)
		return answer.Body.Close()
	}
	transport.TLSClientConfig.Certificates = []tls.Certificate{certificate}
	if err := ask("with the certificate"); err != nil {
		return err
	}
	transport.CloseIdleConnections() // a connection keeps its certificate
	transport.TLSClientConfig.Certificates = nil
	return ask("without")
}

// companyCertificates returns a CA, and the certificate of a client with its key.
func companyCertificates() (*x509.Certificate, tls.Certificate, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		return nil, tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "billing", Organization: []string{"Example"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err = x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	return ca, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
