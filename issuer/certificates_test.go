package issuer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// authority is a CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes a CA, below another one unless that is nil.
func newAuthority(tb testing.TB, name string, parent *authority) *authority {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if parent == nil {
		parent = &authority{template, key}
	}
	return &authority{sign(tb, template, parent, key), key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue makes a certificate for a client, which edit may change, with the certificates
// of the CAs that are sent beside it.
func (a *authority) issue(tb testing.TB, edit func(*x509.Certificate), sent ...*authority) tls.Certificate {
	tb.Helper()
	template := clientTemplate(tb, edit)
	key := newKey(tb)
	leaf := sign(tb, template, a, key)
	c := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, ca := range sent {
		c.Certificate = append(c.Certificate, ca.certificate.Raw)
	}
	return c
}

// selfSigned makes a certificate that only its own key has signed.
func selfSigned(tb testing.TB, key *ecdsa.PrivateKey, edit func(*x509.Certificate)) tls.Certificate {
	tb.Helper()
	template := clientTemplate(tb, edit)
	leaf := sign(tb, template, &authority{template, key}, key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func clientTemplate(tb testing.TB, edit func(*x509.Certificate)) *x509.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "billing"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"other.example.com", "billing.example.com"}, EmailAddresses: []string{"billing@example.com"},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/billing"}},
		IPAddresses: []net.IP{net.IPv4(192, 0, 2, 7).To4(), net.ParseIP("2001:db8::7")},
	}
	if edit != nil {
		edit(template)
	}
	return template
}

func sign(tb testing.TB, template *x509.Certificate, parent *authority, key *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, key.Public(), parent.key)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return certificate
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// keySet returns a JWK set of public keys.
func keySet(tb testing.TB, keys ...crypto.Signer) json.RawMessage {
	tb.Helper()
	var public []*jose.Key
	for _, key := range keys {
		k, err := jose.NewKey(key.Public(), "", "")
		if err != nil {
			tb.Fatal(err)
		}
		public = append(public, k)
	}
	set, err := jose.NewSet(public...)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := set.MarshalJSON()
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// listen serves the app over TLS. It asks for any certificate, and leaves the verdict to
// the issuer.
func (s *service) listen(tb testing.TB) *httptest.Server {
	tb.Helper()
	server := httptest.NewUnstartedServer(s.app)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	tb.Cleanup(server.Close)
	return server
}

// over sends a form to the path of a server, over a new connection with the certificate,
// if it has one. The recorder has the answer without the headers of the server itself.
func over(tb testing.TB, server *httptest.Server, certificate tls.Certificate, path, body string, header ...string) *httptest.ResponseRecorder {
	tb.Helper()
	trusted, ok := server.Client().Transport.(*http.Transport)
	if !ok {
		tb.Fatal("no transport")
	}
	transport := trusted.Clone()
	defer transport.CloseIdleConnections()
	if certificate.Certificate != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{certificate}
	}
	r := newForm(path, body, header...)
	r.RequestURI = ""
	var err error
	if r.URL, err = url.Parse(server.URL + path); err != nil {
		tb.Fatal(err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatal(err)
	}
	w := httptest.NewRecorder()
	answer.Header.Del("Date")
	maps.Copy(w.Header(), answer.Header)
	w.Code, w.Body = answer.StatusCode, bytes.NewBuffer(text)
	return w
}

// named returns the form of a request whose client only names itself.
func named(id string) string { return form("grant_type", "client_credentials", "client_id", id) }

// noCertificate is a connection without one.
var noCertificate tls.Certificate
